"""Proving a deployment: that its catalog is the chain which was signed, and its files are those that the catalog names.

Each row is held against the link before it as the catalog has it, so that one which was changed is named itself, and not all after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import sqlalchemy as sa

from shiftlog import chain
from shiftlog.catalog import accounts, chained, parts, publishing, sweeping, tables
from shiftlog.catalog.chained import Head, SigningKey
from shiftlog.catalog.parts import Part
from shiftlog.errors import Damaged, Missing
from shiftlog.events import INT64_MAX
from shiftlog.house import House
from shiftlog.store import Store


@dataclass(frozen=True, slots=True)
class Proof:
    """An account's first signing key, its parts, and the bytes that were looked at, with those of what lies beside them; what is `wrong`,
    and what is worth a remark, each naming the part or object."""

    account: str
    key: str | None
    parts: int
    bytes: int
    wrong: list[str]
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class _Said:
    """What the catalog says of an account, all of one moment."""

    account: str
    parts: list[Part]
    heads: list[Head]
    keys: list[SigningKey]
    last: int


def prove(house: House, account: str, on_part: Callable[[], None] = lambda: None) -> Proof:
    """Prove an account.

    Raises:
        Missing: no such account.
    """
    said = _read(house, account)
    wrong = [*_of_chain(said)]
    size = 0
    for part in said.parts:
        wrong += _of_files(house.store, part)
        size += part.gz_bytes * (part.gz_gone is None) + part.twin_bytes * (part.twin_gone is None)
        on_part()
    for key, checksum in sorted(_beside(house, account).items()):
        problem, length = _of_object(house, account, key, checksum)
        wrong += problem
        size += length
    named = {key for part in _read(house, account).parts for key in (part.gz_key, part.twin_key)}
    lying = (found.key for found in house.store.list(f"parts/{account}/"))
    remarks = [
        f"{key} is no part's: left by a run that failed, or put there by hand; it is never served" for key in lying if key not in named
    ]
    return Proof(account, said.keys[0].id if said.keys else None, len(said.parts), size, wrong, remarks)


def _read(house: House, account: str) -> _Said:
    t = tables.parts
    with house.catalog.read() as conn:
        accounts.get(conn, account)
        signed = sa.select(t.c.seq, t.c.link, t.c.signed_by, t.c.signature).where(t.c.account == account, t.c.signature.is_not(None))
        return _Said(
            account,
            list(parts.manifest(conn, account, now=INT64_MAX, after=0, limit=INT64_MAX)),
            [Head(*row) for row in conn.execute(signed.order_by(t.c.seq))],
            chained.keys(conn, account),
            publishing.state(conn, account).last_seq,
        )


# ── the chain ──


def _of_chain(said: _Said) -> Iterator[str]:
    try:
        keys = chain.trusted(said.account, said.keys, None)
    except Damaged as error:
        yield str(error)
        keys = {}
    sequence, previous = 0, chain.START
    for part in said.parts:
        if part.seq != sequence + 1:
            yield f"part {sequence + 1} of {said.account} was removed from the catalog, before {part.name}"
        elif part.link != chain.link(said.account, previous, chained.facts(part, part.seq)):
            yield f"{part.name}, part {part.seq} of {said.account}, does not follow in the chain: its row was changed or put in"
        if part.gz_gone is not None:
            yield from _of_removal(said.account, keys, part, part.gz_gone)
        sequence, previous = part.seq, part.link or ""
    for head in said.heads:
        yield from _checked(
            keys, head.key, chain.head(said.account, head.sequence, head.link), head.signature, f"part {head.sequence} of {said.account}"
        )
    if sequence != said.last:
        yield f"the catalog has parts of {said.account} up to {sequence}, and published up to {said.last}: some were removed or put in"
    if said.parts and (not said.heads or said.heads[-1].sequence != sequence):
        yield f"{said.parts[-1].name}, part {sequence} of {said.account}, is under no signed head"


def _of_removal(account: str, keys: dict[str, str], part: Part, gone: int) -> Iterator[str]:
    what = f"the deletion of {part.name}"
    if part.link is None or part.removed_reason is None or part.removed_by is None or part.removed_signature is None:
        yield f"{what} is not signed"
        return
    statement = chain.removal(account, part.seq, part.link, part.removed_reason, gone)
    yield from _checked(keys, part.removed_by, statement, part.removed_signature, what)


def _checked(keys: dict[str, str], key: str, statement: bytes, signature: str, what: str) -> Iterator[str]:
    try:
        chain.check(keys, key, statement, signature, what)
    except Damaged as error:
        yield str(error)


# ── the files ──


def _beside(house: House, account: str) -> dict[str, str | None]:
    with house.catalog.read() as conn:
        return sweeping.beside_parts(conn, account)


def _of_object(house: House, account: str, key: str, checksum: str | None) -> tuple[list[str], int]:
    """What is wrong with an object beside the parts, and how many bytes it has."""
    try:
        data = house.store.get(key)
    except Missing:  # a sweep may have been quicker
        return ([f"{key} of {account} was removed"] if key in _beside(house, account) else []), 0
    changed = checksum not in (None, sha256(data).hexdigest())
    return ([f"{key} of {account} was changed: it has another SHA-256 than was written"] if changed else []), len(data)


def _of_files(store: Store, part: Part) -> Iterator[str]:
    if part.gz_gone is None:
        yield from _of_file(store, part, part.gz_key, part.gz_bytes, part.gz_sha256)
    if part.twin_gone is None:
        yield from _of_file(store, part, part.twin_key, part.twin_bytes, part.twin_sha256)


def _of_file(store: Store, part: Part, key: str, size: int, checksum: str) -> Iterator[str]:
    try:
        data = store.get(key)
    except Missing:
        yield f"{part.name}: {key} was removed"
        return
    if (len(data), sha256(data).hexdigest()) != (size, checksum):
        yield f"{part.name}: {key} was changed: it has {len(data)} bytes with another SHA-256 than was published ({size} bytes)"
