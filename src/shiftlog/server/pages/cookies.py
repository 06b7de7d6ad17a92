"""The cookie of a browser that is signed in: which key, until when. It is signed, and holds no secret. No I/O.

Text, as the browser keeps it: `{key id}.{expires}.{nonce}.{signature}`.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass

#: The cookies there are: who is signed in, and the theme that was chosen.
SESSION, THEME = "shiftlog_session", "shiftlog_theme"

_TICKET = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})\.([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ticket:
    """One sign-in: the key's number, when it ends (epoch ms), and a nonce by which it differs from any other."""

    key_id: int
    expires: int
    nonce: str

    @classmethod
    def new(cls, key_id: int, expires: int) -> Ticket:
        return cls(key_id, expires, secrets.token_hex(16))


def write(ticket: Ticket, secret: bytes) -> str:
    """The cookie's text."""
    text = f"{ticket.key_id}.{ticket.expires}.{ticket.nonce}"
    return f"{text}.{_signature(text, secret)}"


def read(text: str, secret: bytes, now: int) -> Ticket | None:
    """The ticket, if the text is one that `write` made with this secret, and it has not ended at `now` (epoch ms)."""
    match = _TICKET.fullmatch(text)
    if match is None:
        return None
    key_id, expires, nonce, signature = match.groups()
    genuine = hmac.compare_digest(signature, _signature(f"{key_id}.{expires}.{nonce}", secret))
    return Ticket(int(key_id), int(expires), nonce) if genuine and now < int(expires) else None


def form_token(ticket: Ticket, secret: bytes) -> str:
    """What the forms of this sign-in carry: no other site can know it."""
    return _signature(f"form.{ticket.nonce}", secret)


def is_form_token(text: str, ticket: Ticket, secret: bytes) -> bool:
    return hmac.compare_digest(text.encode(), form_token(ticket, secret).encode())


def _signature(text: str, secret: bytes) -> str:
    return hmac.digest(secret, text.encode(), "sha256").hex()
