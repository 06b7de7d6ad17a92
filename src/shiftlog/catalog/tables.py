"""The catalog's tables. Instants are epoch milliseconds; `account` is the tenant's name everywhere."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Marks a column whose texts are encrypted by the vault: when its key is rotated, they are encrypted anew.
ENCRYPTED = {"encrypted": True}

_BIG = sa.BigInteger()
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows by itself only in a column of type INTEGER
_NAME = sa.String(20)


def _column(name: str, type_: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, type_, nullable=False, **options)


#: One fact a row about the deployment itself, such as which store it belongs to.
meta = sa.Table("meta", metadata, sa.Column("name", sa.String(40), primary_key=True), _column("value", sa.Text()))

#: An account: its settings, the landing and publishing state (all moved under this row's lock), and the publisher's lease.
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    _column("created", _BIG),
    _column("time_zone", sa.String(64)),
    _column("schema_version", sa.String(16)),
    _column("retention_days", sa.Integer()),
    # landing: the number of the last batch; publishing: the last batch that a run has taken in
    _column("landed", _BIG),
    _column("consumed", _BIG),
    # the object with the events of sessions that are not published yet, as of `consumed`
    sa.Column("carry_key", sa.Text()),
    _column("carry_sessions", _BIG),
    _column("carry_events", _BIG),
    # hours that end at or before the watermark are complete; null before the first run
    sa.Column("watermark", _BIG),
    _column("last_seq", _BIG),
    _column("last_generated", _BIG),
    # set while a commit is under way: until it is done, no list may claim to cover this instant
    sa.Column("floor", _BIG),
    _column("repeats", _BIG),
    _column("epoch", _BIG),
    sa.Column("holder", sa.Text()),
    _column("lease_until", _BIG),
    # how often it has changed who is forgotten, and the key of the hashes by which they are known
    _column("forgotten", sa.Integer(), server_default="0"),
    sa.Column("erasure_key", sa.Text(), info=ENCRYPTED),
    # the OpenPGP public key to which its files are encrypted, armored
    sa.Column("pgp_key", sa.Text()),
)

#: A key of an account. OAuth secrets are encrypted, the bearer token is a hash.
keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True),
    _column("account", _NAME, index=True),
    _column("permissions", sa.String(40)),
    _column("consumer_key", sa.String(64)),
    _column("consumer_secret", sa.Text(), info=ENCRYPTED),
    _column("token", sa.String(64), unique=True),
    _column("token_secret", sa.Text(), info=ENCRYPTED),
    _column("bearer_hash", sa.String(64), unique=True),
    _column("created", _BIG),
    sa.Column("expires", _BIG),
    sa.Column("revoked", _BIG),
)

#: One account's rows of one landing object, numbered without gaps in the order in which they became visible.
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("number", _BIG, primary_key=True, autoincrement=False),
    _column("object_key", sa.Text(), index=True),
    _column("first_row", _BIG),
    _column("rows", _BIG),
    _column("received_at", _BIG),
    _column("min_timestamp", _BIG),
    _column("max_timestamp", _BIG),
)

_IS_PUBLISHED = sa.text("scope_start IS NOT NULL")

#: The producers' own session ids: whose they are, and the scope (its start) under which they were first published.
session_ids = sa.Table(
    "session_ids",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("session_id", sa.String(64), primary_key=True),
    _column("agent_id", _BIG),
    sa.Column("scope_start", _BIG),
    _column("seen_at", _BIG),
    # Of published ids only: those of open sessions are seen again with every batch, and few of the others are.
    sa.Index(None, "account", "seen_at", sqlite_where=_IS_PUBLISHED, postgresql_where=_IS_PUBLISHED),
)

#: Published parts, also those whose files were deleted since (tombstones: `gz_gone`, `twin_gone` say when).
parts = sa.Table(
    "parts",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
    _column("scope_start", _BIG),
    _column("scope_end", _BIG),
    _column("part", sa.Integer()),
    _column("revision", sa.Integer()),
    _column("generated", _BIG),
    _column("schema_version", sa.String(16)),
    _column("gz_key", sa.Text()),
    _column("gz_bytes", _BIG),
    _column("gz_sha256", sa.String(64)),
    _column("twin_key", sa.Text()),
    _column("twin_bytes", _BIG),
    _column("twin_sha256", sa.String(64)),
    _column("sessions", _BIG),
    _column("withdrawals", _BIG),
    _column("events", _BIG),
    # of its events; null where it holds withdrawals only
    sa.Column("min_timestamp", _BIG),
    sa.Column("max_timestamp", _BIG),
    sa.Column("gz_gone", _BIG),
    sa.Column("twin_gone", _BIG),
    # the chain: each part's link; the signature of a head, on the last part of each commit; why the files are gone, and its signature
    sa.Column("link", sa.String(64)),
    sa.Column("signed_by", sa.String(16)),
    sa.Column("signature", sa.String(128)),
    sa.Column("removed_reason", sa.String(16)),
    sa.Column("removed_by", sa.String(16)),
    sa.Column("removed_signature", sa.String(128)),
    sa.UniqueConstraint("account", "scope_start", "part", "revision"),
    sa.Index(None, "account", "generated", "seq"),
    sa.Index(None, "account", "max_timestamp"),
)

#: Parts as they are served to an account with an OpenPGP key; `key_id` is the SHA-256 of the key as the account has it.
encrypted = sa.Table(
    "encrypted",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("seq", _BIG, primary_key=True, autoincrement=False),
    sa.Column("key_id", sa.String(64), primary_key=True),
    _column("object_key", sa.Text()),
    _column("bytes", _BIG),
    _column("sha256", sa.String(64)),
)

#: The keys that sign an account's chain; the last one signs, and all but the first are signed by the one before.
signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
    _column("id", sa.String(16)),
    _column("public", sa.String(64)),
    _column("private", sa.Text(), info=ENCRYPTED),
    _column("created", _BIG),
    sa.Column("signed_by", sa.String(16)),
    sa.Column("signature", sa.String(128)),
)

#: Agents whose names, or all of whose sessions, are erased, and from whom nothing else arrives any more; by a keyed hash of their number.
forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    _column("removed", sa.Integer()),
    _column("at", _BIG),
    # when the last thing that named the agent was gone
    sa.Column("done", _BIG),
)

#: Objects that nobody names any more and that name a forgotten agent: whoever was stopped at it deletes them next time.
doomed = sa.Table(
    "doomed",
    metadata,
    sa.Column("object_key", sa.Text(), primary_key=True),
    _column("account", _NAME),
)

#: One publishing run: what it was due for, and what it did.
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True),
    _column("account", _NAME, index=True),
    _column("started", _BIG),
    _column("finished", _BIG),
    _column("until", _BIG),
    _column("parts", _BIG),
    _column("sessions", _BIG),
    _column("withdrawals", _BIG),
    _column("events", _BIG),
    _column("repeats", _BIG),
    _column("set_aside", _BIG),
)

#: Late events that could not be published, because the sessions they belong to were deleted when their history ended.
asides = sa.Table(
    "asides",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True),
    _column("account", _NAME, index=True),
    _column("object_key", sa.Text()),
    _column("events", _BIG),
    _column("at", _BIG),
)

#: OAuth nonces that may not be used again before they expire.
nonces = sa.Table(
    "nonces",
    metadata,
    sa.Column("key_id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("timestamp", _BIG, primary_key=True, autoincrement=False),
    sa.Column("nonce", sa.String(128), primary_key=True),
    _column("expires", _BIG, index=True),
)

#: Who did what. Append-only: triggers refuse every change, and deleting what is younger than `meta`'s `audit_since` says.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", _SERIAL, primary_key=True),
    _column("at", _BIG, index=True),
    sa.Column("account", _NAME),
    sa.Column("key_id", _BIG),
    _column("action", sa.String(40)),
    _column("target", sa.Text()),
    _column("status", sa.Integer()),
    sa.Column("address", sa.String(64)),
    # who it was, where it was no key: someone at the machine itself
    sa.Column("actor", sa.String(64)),
    # requests that were denied alike may share a line
    _column("times", sa.Integer(), server_default="1"),
    sa.Index(None, "account", "id"),
)

#: What a server has let in of a key or an address since the row began, so that all servers keep to one limit.
usage = sa.Table(
    "usage",
    metadata,
    sa.Column("server", sa.String(32), primary_key=True),
    sa.Column("subject", sa.String(80), primary_key=True),
    _column("used", _BIG),
    _column("at", _BIG, index=True),
)

#: What agents, groups and profiles are called, from when on.
names = sa.Table(
    "names",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("kind", sa.String(8), primary_key=True),
    sa.Column("id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("valid_from", _BIG, primary_key=True, autoincrement=False),
    _column("name", sa.Text()),
)

#: The state that is planned for an agent's time [start, end), by its code. Stretches of one agent do not overlap.
schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("account", _NAME, primary_key=True),
    sa.Column("agent_id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("start", _BIG, primary_key=True, autoincrement=False),
    _column("end", _BIG),
    _column("state", sa.Integer()),
)
