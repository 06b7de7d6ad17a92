"""A deployment against what it has signed: each part that was changed, removed or put in by hand is named."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from client.servers import SHIFTLOG
from readers import land, publish_at
from scenes import DAY, HOUR, T0, login, logout, sent
from shiftlog.catalog import chained, tables
from shiftlog.errors import Missing
from shiftlog.house import House
from shiftlog.proof import prove
from shiftlog.retention import sweep
from test_retention import at

P = tables.parts


@pytest.fixture
def three(house: House, account: str) -> House:
    """Three parts."""
    for hour in range(3):
        start = T0 - 9 * DAY + hour * HOUR
        land(house, sent(login(start), logout(start + 1)))
        publish_at(house, start + 2 * HOUR)
    return house


def sql(house: House, statement: sa.Update | sa.Delete | sa.Insert) -> None:
    with house.catalog.write() as conn:
        conn.execute(statement)


def row(house: House, seq: int) -> dict[str, Any]:
    with house.catalog.read() as conn:
        return dict(conn.execute(sa.select(P).where(P.c.seq == seq)).mappings().one())


def test_what_is_as_it_was_published_is_right(three: House):
    """Files and chain, also after some were deleted because their time was over, and with a new key."""
    proof = prove(three, "A")
    assert (proof.parts, proof.wrong, proof.remarks, proof.bytes > 3_000) == (3, [], [], True)
    sweep(at(three, three.catalog.now() + 40 * DAY))
    with three.catalog.write() as conn:
        chained.rotate(conn, three.vault, "A", T0)
    land(three, sent(login(T0), logout(T0 + 1)))
    publish_at(three, T0 + 2 * HOUR)
    assert (prove(three, "A").parts, prove(three, "A").wrong) == (4, [])


def test_an_account_that_is_not_there(house: House):
    """Is not proved."""
    with pytest.raises(Missing):
        prove(house, "nobody")


@pytest.mark.parametrize("kind", ["gz", "twin"])
def test_files(three: House, kind: str):
    """A flipped byte, a file that is gone, one that was put there."""
    part, objects = row(three, 2), three.directory / "objects"
    path = objects / part[f"{kind}_key"]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert [f"{part[f'{kind}_key']} was changed" in said for said in prove(three, "A").wrong] == [True]
    path.unlink()
    assert [f"{part[f'{kind}_key']} was removed" in said for said in prove(three, "A").wrong] == [True]
    path.write_bytes(data)
    (path.parent / "Agent.0.1.part-00000-0.gz").write_bytes(b"x")
    proof = prove(three, "A")
    assert (proof.wrong, ["Agent.0.1.part-00000-0.gz is no part's" in said for said in proof.remarks]) == ([], [True])


def edit(house: House) -> None:
    sql(house, sa.update(P).where(P.c.seq == 2).values(sessions=7))


def edit_and_link(house: House) -> None:
    edit(house)
    with house.catalog.write() as conn:
        from shiftlog.catalog import parts

        for part in parts.manifest(conn, "A", now=2 * T0, after=1, limit=9):
            [link] = chained.links(conn, "A", part.seq - 1, [part])
            conn.execute(sa.update(P).where(P.c.seq == part.seq).values(link=link))


def remove(house: House) -> None:
    sql(house, sa.delete(P).where(P.c.seq == 2))


def truncate(house: House) -> None:
    sql(house, sa.delete(P).where(P.c.seq == 3))


def add(house: House) -> None:
    sql(house, sa.insert(P).values({**row(house, 3), "seq": 4, "revision": 1, "signature": None, "signed_by": None}))


def reorder(house: House) -> None:
    for old, new in ((1, 9), (2, 1), (9, 2)):
        sql(house, sa.update(P).where(P.c.seq == old).values(seq=new))


def hide(house: House) -> None:
    sql(house, sa.update(P).where(P.c.seq == 2).values(gz_gone=5))


def other_key(house: House) -> None:
    sql(house, sa.delete(tables.signing_keys))
    with house.catalog.write() as conn:
        chained.signer(conn, house.vault, "A", T0)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (edit, ["part 2 of A, does not follow in the chain"]),
        (edit_and_link, ["part 2 of A has a signature that is not", "part 3 of A has a signature that is not"]),
        (remove, ["part 2 of A was removed from the catalog"]),
        (truncate, ["up to 2, and published up to 3"]),
        (add, ["part 4 of A, does not follow", "up to 4, and published up to 3", "part 4 of A, is under no signed head"]),
        (
            reorder,
            ["part 1 of A, does", "part 2 of A, does", "part 3 of A, does", "part 1 of A has a signature", "part 2 of A has a signature"],
        ),
        (hide, ["the deletion of .* is not signed"]),
        (other_key, ["part 1 of A is signed with the key", "part 2 of A is signed", "part 3 of A is signed"]),
    ],
)
def test_rows(three: House, attack: Callable[[House], None], said: list[str]):
    """Edited, chained anew without the key, taken out, cut off at the end, put in, swapped, declared deleted; or all keys replaced."""
    import re

    attack(three)
    wrong = prove(three, "A").wrong
    assert len(wrong) == len(said)
    assert all(re.search(pattern, problem) for pattern, problem in zip(said, wrong, strict=True)), wrong


def test_the_command(three: House):
    """Says what is wrong, and exits with 1."""
    command = [SHIFTLOG, "verify", "--data", three.directory, "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "account,key,parts,bytes,wrong,remarks"
    edit(three)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "wrong: Agent." in done.stderr) == (1, True)
