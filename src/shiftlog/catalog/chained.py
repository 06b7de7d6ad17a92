"""The chain over an account's parts in the catalog: its links, its signing keys, and what they have signed (shiftlog.chain)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields

import sqlalchemy as sa

from shiftlog import chain
from shiftlog.catalog import accounts, tables
from shiftlog.catalog.parts import NewPart, Part, mark_removed
from shiftlog.catalog.vault import Vault

_P, _K, _A = tables.parts, tables.signing_keys, tables.accounts


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key's public side. All but an account's first are signed by the one before."""

    id: str
    public: str
    created: int
    signed_by: str | None
    signature: str | None


@dataclass(frozen=True, slots=True)
class Signer:
    """An account's present key."""

    account: str
    key: str
    private: str = field(repr=False)

    def sign(self, statement: bytes) -> str:
        return chain.sign(self.private, statement)


@dataclass(frozen=True, slots=True)
class Head:
    """How far the chain reaches, and what was signed of that."""

    sequence: int
    link: str
    key: str
    signature: str


# ── keys ──


def keys(conn: sa.Connection, account: str) -> list[SigningKey]:
    """An account's signing keys, in the order in which they were made; the last one signs."""
    columns = [_K.c[name] for name in SigningKey.__slots__]
    return [SigningKey(*row) for row in conn.execute(sa.select(*columns).where(_K.c.account == account).order_by(_K.c.number))]


def signer(conn: sa.Connection, vault: Vault, account: str, now: int) -> Signer:
    """The account's present key, made where there is none; who may make it holds the account's lock."""
    query = sa.select(_K.c.id, _K.c.private).where(_K.c.account == account).order_by(_K.c.number.desc()).limit(1)
    row = conn.execute(query).one_or_none()
    return _make(conn, vault, account, now, None) if row is None else Signer(account, row.id, vault.decrypt(row.private))


def rotate(conn: sa.Connection, vault: Vault, account: str, now: int) -> SigningKey:
    """Give the account another key, which the present one signs. What was signed stays as it is.

    Raises:
        Missing: no such account.
    """
    accounts.lock(conn, account)
    _make(conn, vault, account, now, signer(conn, vault, account, now))
    return keys(conn, account)[-1]


def _make(conn: sa.Connection, vault: Vault, account: str, now: int, before: Signer | None) -> Signer:
    private, public = chain.new_key()
    number = conn.scalar(sa.select(sa.func.count()).where(_K.c.account == account))
    values = {
        "account": account,
        "number": number,
        "id": chain.key_id(public),
        "public": public,
        "private": vault.encrypt(private),
        "created": now,
        "signed_by": None if before is None else before.key,
        "signature": None if before is None else before.sign(chain.succession(account, public)),
    }
    conn.execute(sa.insert(_K).values(values))
    return Signer(account, chain.key_id(public), private)


# ── links and what is signed ──


def facts(part: NewPart, seq: int) -> chain.Facts:
    """What a part's link says of it."""
    return chain.Facts(
        sequence=seq,
        name=str(part.name),
        schema_version=part.schema_version,
        bytes=part.gz_bytes,
        sha256=part.gz_sha256,
        parquet_sha256=part.twin_sha256,
        sessions=part.sessions,
        withdrawals=part.withdrawals,
        events=part.events,
        min_timestamp=part.min_timestamp,
        max_timestamp=part.max_timestamp,
    )


def links(conn: sa.Connection, account: str, after: int, new: Iterable[NewPart]) -> list[str]:
    """The links of parts that come after a sequence number."""
    previous = chain.START if after == 0 else _link(conn, account, after) or _link_up_to(conn, account, after)
    found = []
    for seq, part in enumerate(new, after + 1):
        previous = chain.link(account, previous, facts(part, seq))
        found.append(previous)
    return found


def _link(conn: sa.Connection, account: str, seq: int) -> str | None:
    found = conn.scalar(sa.select(_P.c.link).where(_P.c.account == account, _P.c.seq == seq))
    return None if found is None else str(found)


def _link_up_to(conn: sa.Connection, account: str, seq: int) -> str:
    """Link what a server of the version before the chain has published beside those of this one; the link of the last."""
    mine = (_P.c.account == account, _P.c.link.is_(None), _P.c.seq <= seq)
    columns = [_P.c[name.name] for name in fields(Part)]
    missing = [Part(*row) for row in conn.execute(sa.select(*columns).where(*mine).order_by(_P.c.seq))]
    before = missing[0].seq - 1 if missing else seq
    previous = chain.START if before == 0 else str(_link(conn, account, before))
    for part in missing:
        previous = chain.link(account, previous, facts(part, part.seq))
        conn.execute(sa.update(_P).where(_P.c.account == account, _P.c.seq == part.seq).values(link=previous))
    return previous


def sign_head(conn: sa.Connection, signer: Signer, seq: int) -> None:
    """Sign that the chain reaches to a part."""
    mine = (_P.c.account == signer.account, _P.c.seq == seq)
    link = _link(conn, signer.account, seq) or _link_up_to(conn, signer.account, seq)
    signature = signer.sign(chain.head(signer.account, seq, link))
    conn.execute(sa.update(_P).where(*mine).values(signed_by=signer.key, signature=signature))


def head(conn: sa.Connection, account: str, now: int) -> Head | None:
    """The last head of those that are visible at `now` (epoch ms)."""
    query = (
        sa.select(_P.c.seq, _P.c.link, _P.c.signed_by, _P.c.signature)
        .where(_P.c.account == account, _P.c.generated < now, _P.c.signature.is_not(None))
        .order_by(_P.c.seq.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else Head(*row)


def erased(conn: sa.Connection, account: str, now: int) -> int:
    """How many parts' files were deleted so that an agent is forgotten, as is visible at `now` (epoch ms)."""
    mine = (_P.c.account == account, _P.c.removed_reason == chain.ERASURE, _P.c.gz_gone < now)
    return int(conn.scalar(sa.select(sa.func.count()).where(*mine)) or 0)


def sign_removals(conn: sa.Connection, vault: Vault, account: str, reason: str, now: int) -> int:
    """Sign why the files are gone of those parts of which nothing is signed yet; how many there were."""
    mine = (_P.c.account == account, _P.c.gz_gone.is_not(None), _P.c.removed_signature.is_(None), _P.c.link.is_not(None))
    rows = conn.execute(sa.select(_P.c.seq, _P.c.link, _P.c.gz_gone).where(*mine)).all()
    if not rows:
        return 0
    by = signer(conn, vault, account, now)
    statement = (
        sa.update(_P)
        .where(_P.c.account == account, _P.c.seq == sa.bindparam("at_seq"))
        .values(removed_reason=reason, removed_by=by.key, removed_signature=sa.bindparam("signed"))
    )
    signed = [{"at_seq": seq, "signed": by.sign(chain.removal(account, seq, link, reason, gone))} for seq, link, gone in rows]
    conn.execute(statement, signed)
    return len(rows)


def erase(conn: sa.Connection, vault: Vault, account: str, parts: Collection[int], at: int) -> None:
    """Mark the files of parts as gone, so that an agent is forgotten; also of those whose time was over, and that others may have."""
    if parts:
        mine = (_P.c.account == account, _P.c.seq.in_(parts))
        conn.execute(sa.update(_P).where(*mine).values(gz_gone=at, twin_gone=at, removed_signature=None))
        sign_removals(conn, vault, account, chain.ERASURE, at)
        mark_removed(conn)


def unsigned(conn: sa.Connection) -> list[str]:
    """Accounts whose last part is under no signed head: as the version before the chain leaves them, also beside servers of this one."""
    mine = sa.and_(_P.c.account == _A.c.account, _P.c.seq == _A.c.last_seq)
    return list(conn.scalars(sa.select(_A.c.account).join(_P, mine).where(_P.c.signature.is_(None))))


def complete(conn: sa.Connection, vault: Vault, account: str, now: int) -> None:
    """Sign what is there of an account, as if it had always been."""
    accounts.lock(conn, account)
    last = conn.scalar(sa.select(_A.c.last_seq).where(_A.c.account == account))
    sign_head(conn, signer(conn, vault, account, now), int(last or 0))
    sign_removals(conn, vault, account, chain.RETENTION, now)
