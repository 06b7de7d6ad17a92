"""The chain's bytes: links, statements, keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shiftlog import chain
from shiftlog.errors import Damaged

NAME = "Agent.1466078400000.1466082000000.part-00000-0"
FACTS = chain.Facts(1, NAME, "1.0.0.4", 412, "a" * 64, "b" * 64, 1, 0, 1, 1465992202047, None)


@dataclass(frozen=True)
class Key:
    id: str
    public: str
    signed_by: str | None = None
    signature: str | None = None


def keys(count: int) -> tuple[list[Key], list[str]]:
    """Keys that follow each other, and their private ones."""
    pairs = [chain.new_key() for _ in range(count)]
    made = [Key(chain.key_id(pairs[0][1]), pairs[0][1])]
    for (private, _), (_, public) in pairwise(pairs):
        made.append(Key(chain.key_id(public), public, made[-1].id, chain.sign(private, chain.succession("A", public))))
    return made, [private for private, _ in pairs]


def test_a_link_is_the_hash_of_lines():
    """As PROTOCOL writes them; what is not there is a dash."""
    lines = f"shiftlog-link-1\n75555851\n{'0' * 64}\n1\n{NAME}\n1.0.0.4\n412\n{'a' * 64}\n{'b' * 64}\n1\n0\n1\n1465992202047\n-\n"
    assert chain.link("75555851", chain.START, FACTS) == sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("field", chain.Facts._fields)
def test_every_fact_counts(field: str):
    """Another value is another link; so is another account, and another past."""
    other = FACTS._replace(**{field: 7 if field != "name" else NAME.replace("-0", "-1")})
    links = {chain.link("A", chain.START, FACTS), chain.link("A", chain.START, other), chain.link("B", chain.START, FACTS)}
    assert len({*links, chain.link("A", "1" * 64, FACTS)}) == 4


def test_a_signature_holds_for_its_statement_alone():
    """And for its key."""
    (private, public), (_, other) = chain.new_key(), chain.new_key()
    signature = chain.sign(private, chain.head("A", 3, "c" * 64))
    assert chain.is_signed(public, chain.head("A", 3, "c" * 64), signature)
    assert not chain.is_signed(public, chain.head("A", 4, "c" * 64), signature)
    assert not chain.is_signed(other, chain.head("A", 3, "c" * 64), signature)
    assert not chain.is_signed(public, chain.head("A", 3, "c" * 64), "zz")


def test_successors_of_a_pinned_key_are_trusted():
    """Those before it are not."""
    made, _ = keys(3)
    assert list(chain.trusted("A", made, made[1].public)) == [made[1].id, made[2].id]
    assert list(chain.trusted("A", made, None)) == [key.id for key in made]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made[1:], "not among its keys"),
        (lambda made: [made[0], made[2]], "not signed by the one before"),
        (lambda made: [made[0], keys(1)[0][0]], "not signed by the one before"),
        (lambda made: [Key(made[1].id, made[0].public)], "another id"),
        (lambda made: [Key("x", "zz")], "not a public key"),
    ],
)
def test_other_keys_are_refused(change, said: str):
    """A replaced one, one with a gap before it, a foreign one."""
    made, _ = keys(3)
    with pytest.raises(Damaged, match=said):
        chain.trusted("A", change(made), made[0].public)


def test_a_check_says_what_is_wrong():
    """Which statement, and which key."""
    made, [private] = keys(1)
    known = {made[0].id: made[0].public}
    statement = chain.removal("A", 1, "d" * 64, "erasure", 5)
    chain.check(known, made[0].id, statement, chain.sign(private, statement), "the removal")
    with pytest.raises(Damaged, match=r"^the removal is signed with the key x, which is not to be trusted"):
        chain.check(known, "x", statement, "", "the removal")
    with pytest.raises(Damaged, match=r"^the removal has a signature that is not of the key"):
        chain.check(known, made[0].id, chain.removal("A", 1, "d" * 64, "retention", 5), chain.sign(private, statement), "the removal")


def test_the_example_of_the_protocol():
    """Its lines hash to its link, and its key signs its head as it says."""
    text = (Path(__file__).parents[1] / "PROTOCOL.md").read_text()
    lines = re.search(r"```\n(shiftlog-link-1\n.*?)```", text, re.DOTALL)[1]
    account, previous, *facts = lines.splitlines()[1:]
    values = [int(fact) if fact.isdigit() and len(fact) < 64 else fact for fact in facts]
    link = chain.link(account, previous, chain.Facts(*values))
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = private.public_key().public_bytes_raw().hex()
    signature = private.sign(f"shiftlog-head-1\n{account}\n1\n{link}\n".encode()).hex()
    assert (previous, link) == (chain.START, sha256(lines.encode()).hexdigest())
    assert all(f"`{value}`" in text for value in (link, public, chain.key_id(public), signature))
