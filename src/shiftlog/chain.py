"""The chain over an account's parts, and what its keys sign: the exact bytes (PROTOCOL: The chain). No I/O.

Every part has a link, the SHA-256 over the link before it and what the part is; who knows one link knows all that came before.
Statements are UTF-8 lines; hashes, public keys and signatures (Ed25519, RFC 8032) are lower-case hex digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from shiftlog.errors import Damaged

#: What the first link follows.
START = "0" * 64
#: Why a part's files were deleted.
RETENTION, ERASURE = "retention", "erasure"


class Facts(NamedTuple):
    """What a link says of a part; `sha256` and `bytes` are those of the `.gz`, `parquet_sha256` that of the `.parquet`."""

    sequence: int
    name: str
    schema_version: str
    bytes: int
    sha256: str
    parquet_sha256: str
    sessions: int
    withdrawals: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None


class Key(Protocol):
    """A public key; all but the first of an account are signed by the one before."""

    @property
    def id(self) -> str: ...
    @property
    def public(self) -> str: ...
    @property
    def signed_by(self) -> str | None: ...
    @property
    def signature(self) -> str | None: ...


# ── the bytes ──


def link(account: str, previous: str, facts: Facts) -> str:
    """The link of a part, after the one before it."""
    return sha256(_lines("shiftlog-link-1", account, previous, *("-" if fact is None else fact for fact in facts))).hexdigest()


def head(account: str, sequence: int, link: str) -> bytes:
    """What is signed with each commit: that the chain reaches so far, and what its last link is."""
    return _lines("shiftlog-head-1", account, sequence, link)


def removal(account: str, sequence: int, link: str, reason: str, at: int) -> bytes:
    """What is signed of a part whose files were deleted at an instant (epoch ms)."""
    return _lines("shiftlog-removed-1", account, sequence, link, reason, at)


def succession(account: str, public: str) -> bytes:
    """What a key signs of its successor."""
    return _lines("shiftlog-key-1", account, public)


def _lines(*values: object) -> bytes:
    return "".join(f"{value}\n" for value in values).encode()


# ── keys and signatures ──


def new_key() -> tuple[str, str]:
    """A new private key and its public one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    return key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()


def key_id(public: str) -> str:
    """How a public key is called: the first 16 digits of its SHA-256."""
    return sha256(bytes.fromhex(public)).hexdigest()[:16]


def sign(private: str, statement: bytes) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private)).sign(statement).hex()


def is_signed(public: str, statement: bytes, signature: str) -> bool:
    """Whether a signature is a key's, of a statement."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def trusted(account: str, keys: Iterable[Key], pinned: str | None) -> dict[str, str]:
    """Of keys in their order, those to trust, by id: the pinned public key (the first, where none is), and its successors.

    Raises:
        Damaged: the pinned key is not among them, or one is not signed by one before it.
    """
    known: dict[str, str] = {}
    for key in keys:
        if key.id != _id(key.public):
            raise Damaged(f"the signing key {key.id} of {account} has another id than its public key says")
        if not known and (pinned is None or key.public == pinned):
            known[key.id] = key.public
        elif known:
            before = known.get(key.signed_by or "")
            if before is None or not is_signed(before, succession(account, key.public), key.signature or ""):
                raise Damaged(f"the signing key {key.id} of {account} is not signed by the one before it")
            known[key.id] = key.public
    if pinned is not None and not known:
        raise Damaged(f"the account {account} was known by the signing key {_id(pinned)}, which is not among its keys any more")
    return known


def _id(public: str) -> str:
    try:
        return key_id(public)
    except ValueError:
        raise Damaged(f"{public[:80]!r} is not a public key; 64 hex digits are expected") from None


def check(keys: Mapping[str, str], key: str, statement: bytes, signature: str, what: str) -> None:
    """Return if a trusted key has signed a statement.

    Raises:
        Damaged: it has not; the message begins with `what`.
    """
    if key not in keys:
        raise Damaged(f"{what} is signed with the key {key}, which is not to be trusted; known are {', '.join(keys) or 'none'}")
    if not is_signed(keys[key], statement, signature):
        raise Damaged(f"{what} has a signature that is not of the key {key}")
