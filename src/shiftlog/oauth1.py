"""OAuth 1.0a signatures (RFC 5849): base string, sign, parse, verify. Values and pure functions, for server and client alike.

A URL here is the URL as it travels: absolute, `http` or `https`, percent-encoded, in ASCII. Protocol parameters travel in
the `Authorization` header and nowhere else. Instants are epoch milliseconds, but for `oauth_timestamp`, which the RFC
counts in seconds. That a nonce is used once is for the catalog to see; `Signed.once` says what it has to remember.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from shiftlog.errors import Invalid, Unauthorized, Unsupported
from shiftlog.hours import SECOND, iso

#: The signature methods that are spoken (RFC 5849 §3.4.2, and the same with SHA-256), and the hash of each.
METHODS = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}
HEADER_LIMIT = 4_096  # characters of an Authorization header; honest ones have about 300
TEXT_LIMIT = 128  # characters of a key, token, nonce or signature

_PRINTED = ("oauth_consumer_key", "oauth_token", "oauth_signature", "oauth_nonce")
_REQUIRED = (*_PRINTED, "oauth_signature_method", "oauth_timestamp")
_UNSIGNED = ("realm", "oauth_signature")  # RFC 5849 §3.4.1.3.1

_SCHEME = re.compile(r"OAuth +", re.IGNORECASE | re.ASCII)
# RFC 5849 §3.5.1. The realm is a quoted-string; all else is percent-encoded, but a client that leaves reserved characters
# as they are (base64's + / =) is understood: no character has a second meaning here.
_VALUE = r"[!#$&-\[\]-~]*(?:%[0-9A-Fa-f]{2}[!#$&-\[\]-~]*)*"
_PARAMETER = re.compile(
    rf'(?:realm="((?:[ !#-\[\]-~]|\\[ -~])*)"|(oauth_[a-z0-9_]+)="({_VALUE})")[ \t]*(?:,[ \t]*(?=[a-z])|\Z)',
)
_PRINTABLE = re.compile(rf"[!-~]{{1,{TEXT_LIMIT}}}")
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,14}")
_URL = re.compile(
    r"(?=[!-~]+\Z)(https?)://(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[^/?#@:\[\]]+)(?::([0-9]{0,5}))?(/[^?#]*)?(?:\?([^#]*))?(?:#.*)?",
    re.IGNORECASE | re.ASCII,
)
_RESERVED = re.compile(r"[^A-Za-z0-9._~-]")  # asked first, because most text has none and quote() costs four times as much
_USER = re.compile(r"//[^/?#]*@")
_DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs, and with what: the client's pair and the token's pair (RFC 5849 §1.1). The secrets are never shown."""

    consumer_key: str
    consumer_secret: str = field(repr=False)
    token: str
    token_secret: str = field(repr=False)


class Once(NamedTuple):
    """What may not come a second time (RFC 5849 §3.3), and the last instant (epoch ms) at which it would be let in."""

    consumer_key: str
    timestamp: int
    nonce: str
    expires: int


@dataclass(frozen=True, slots=True)
class Signed:
    """An `Authorization: OAuth …` header, well-formed but not verified; `timestamp` in epoch seconds.

    `params` are the decoded parameters that are signed: all but realm and signature. The realm is as it was sent.
    """

    consumer_key: str
    token: str
    signature_method: str
    signature: str = field(repr=False)
    timestamp: int
    nonce: str
    params: tuple[tuple[str, str], ...] = field(repr=False)
    realm: str | None = None

    def once(self, window: int) -> Once:
        """What to remember of this request, where timestamps of up to `window` ms away are let in."""
        return Once(self.consumer_key, self.timestamp, self.nonce, self.timestamp * SECOND + window)


# ── what is signed ──


def base_string(method: str, url: str, params: Iterable[tuple[str, str]]) -> str:
    """The text that is signed (RFC 5849 §3.4.1).

    `params` are the decoded parameters beside the URL's query: the header's, and a form body's where there is one.

    Raises:
        Invalid: not a URL as it travels.
    """
    base, query = _split(url)
    # The query is signed whole: an oauth_signature or realm in it is nobody's here, and left out it could be added unseen.
    pairs = [(_encode(name), _encode(value)) for name, value in params if name not in _UNSIGNED]
    pairs += [(_recode(name), _recode(value)) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
    pairs.sort()
    normalised = "&".join([f"{name}={value}" for name, value in pairs])
    # Encoded once already, so there is nothing but these three left to encode.
    again = normalised.replace("%", "%25").replace("=", "%3D").replace("&", "%26")
    return f"{_encode(method.upper())}&{_encode(base)}&{again}"


def signature(base: str, credentials: Credentials, signature_method: str = "HMAC-SHA1") -> str:
    """The signature of a base string, in base64 (RFC 5849 §3.4.2).

    Raises:
        Unsupported: `signature_method` is none of `METHODS`.
    """
    if signature_method not in METHODS:
        raise Unsupported(f"signature method {signature_method!r} is not spoken; allowed: {', '.join(METHODS)}")
    key = f"{_encode(credentials.consumer_secret)}&{_encode(credentials.token_secret)}"
    return b64encode(hmac_digest(key.encode(), base.encode(), METHODS[signature_method])).decode()


def _split(url: str) -> tuple[str, str]:
    """The base string URI (RFC 5849 §3.4.1.2) and the query of a URL; user, password and fragment do not travel."""
    match = _URL.fullmatch(url)
    if not match:
        shown = _USER.sub("//", url)[:200]
        raise Invalid(f"{shown!r} is not a URL that can be signed; an absolute, percent-encoded http or https URL is expected")
    scheme, host, port, path, query = match.groups("")
    scheme = scheme.lower()
    suffix = f":{int(port)}" if port and int(port) != _DEFAULT_PORT[scheme] else ""
    return f"{scheme}://{host.lower()}{suffix}{path or '/'}", query


def _encode(text: str) -> str:
    """Percent-encoded: all bytes of its UTF-8 but the unreserved characters of RFC 3986 (RFC 5849 §3.6)."""
    return quote(text, safe="") if _RESERVED.search(text) else text


def _recode(text: str) -> str:
    """A name or value of a query, decoded as a form's and encoded again (RFC 5849 §3.4.1.3).

    Through bytes and not text: bytes that are not UTF-8 must not become each other.
    """
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="") if _RESERVED.search(text) else text


# ── the client's side ──


def sign(method: str, url: str, credentials: Credentials, *, timestamp: int, nonce: str, signature_method: str = "HMAC-SHA1") -> str:
    """The value of the `Authorization` header of a request (RFC 5849 §3.5.1); `timestamp` in epoch seconds.

    Raises:
        Invalid: not a URL as it travels.
        Unsupported: `signature_method` is none of `METHODS`.
    """
    params = {
        "oauth_consumer_key": credentials.consumer_key,
        "oauth_token": credentials.token,
        "oauth_signature_method": signature_method,
        "oauth_timestamp": str(timestamp),
        "oauth_nonce": nonce,
        "oauth_version": "1.0",
    }
    params["oauth_signature"] = signature(base_string(method, url, params.items()), credentials, signature_method)
    return "OAuth " + ", ".join(f'{name}="{_encode(value)}"' for name, value in params.items())


def nonce() -> str:
    """A new nonce: 128 random bits as 32 hex digits."""
    return secrets.token_hex(16)


# ── the server's side ──


def parse_header(value: str) -> Signed:
    """The value of an `Authorization: OAuth …` header.

    Strict: each parameter once, all required ones and the token there, nothing but `realm` and `oauth_…`. Parameters that
    are not known, such as `oauth_body_hash`, are signed as the others and mean nothing.

    Raises:
        Unauthorized: anything else; the message never repeats what could be a secret.
    """
    given = _parameters(value)
    _check(given)
    realm, sent_signature = given.pop("realm", None), given.pop("oauth_signature")
    return Signed(
        consumer_key=given["oauth_consumer_key"],
        token=given["oauth_token"],
        signature_method=given["oauth_signature_method"],
        signature=sent_signature,
        timestamp=int(given["oauth_timestamp"]),
        nonce=given["oauth_nonce"],
        params=tuple(given.items()),
        realm=realm,
    )


def verify(header: Signed, method: str, url: str, credentials: Credentials, *, now: int, window: int) -> None:
    """Return if these credentials signed this request, and not more than `window` ms away from `now` (epoch ms).

    `url` is the one that the client called: public scheme and host, path and query as they were sent.

    Raises:
        Unauthorized: the signature is another's, stale, or of another request.
    """
    if (header.consumer_key, header.token) != (credentials.consumer_key, credentials.token):
        raise Unauthorized("oauth_consumer_key and oauth_token are not those of one key; use both as they were handed out")
    _check_age(header.timestamp, now, window)
    try:
        expected = signature(base_string(method, url, header.params), credentials, header.signature_method)
    except Invalid as error:
        raise Unauthorized(f"the signature cannot be checked: {error}") from None
    if not compare_digest(expected.encode(), header.signature.encode()):
        raise Unauthorized(
            f"oauth_signature does not fit {method.upper()} {_split(url)[0][:200]} and its query; "
            "sign this very URL, each time anew, with the consumer secret and the token secret of this key"
        )


def _parameters(value: str) -> dict[str, str]:
    """Name and decoded value of each parameter, in the header's order."""
    if len(value) > HEADER_LIMIT:
        raise Unauthorized(f"the Authorization header has {len(value)} characters; at most {HEADER_LIMIT} are allowed")
    scheme = _SCHEME.match(value)
    if not scheme:
        raise Unauthorized('the Authorization header is not an OAuth header; `OAuth oauth_consumer_key="…", …` is expected')
    given: dict[str, str] = {}
    place = scheme.end()
    while place < len(value):
        match = _PARAMETER.match(value, place)
        if not match:
            raise Unauthorized(
                f"the parameter at character {place + 1} of the Authorization header is malformed; "
                'realm="…" and oauth_…="percent-encoded value", separated by commas, are allowed'
            )
        realm, name, text = match.groups()
        if (name or "realm") in given:
            raise Unauthorized(f"{(name or 'realm')[:TEXT_LIMIT]} is there twice in the Authorization header; once is allowed")
        given[name or "realm"] = _decode(name, text) if name else realm
        place = match.end()
    return given


def _decode(name: str, text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Unauthorized(f"{name[:TEXT_LIMIT]} is not percent-encoded UTF-8; encode it as RFC 5849 section 3.6 says") from None


def _check(given: dict[str, str]) -> None:
    for name in _REQUIRED:
        if name not in given:
            raise Unauthorized(f"{name} is missing in the Authorization header; required are {', '.join(_REQUIRED)}")
    for name in _PRINTED:
        if not _PRINTABLE.fullmatch(given[name]):
            raise Unauthorized(
                f"{name} is not 1 to {TEXT_LIMIT} printable ASCII characters, but {len(given[name])} characters; send it as it was made"
            )
    if given["oauth_signature_method"] not in METHODS:
        raise Unauthorized(f"oauth_signature_method {given['oauth_signature_method'][:40]!r} is not spoken; allowed: {', '.join(METHODS)}")
    if not _TIMESTAMP.fullmatch(given["oauth_timestamp"]):
        raise Unauthorized(f"oauth_timestamp {given['oauth_timestamp'][:40]!r} is not a time; whole seconds since 1970 are expected")
    if given.get("oauth_version", "1.0") != "1.0":
        raise Unauthorized(f"oauth_version {given['oauth_version'][:40]!r} is not spoken; 1.0 is allowed, or none")


def _check_age(timestamp: int, now: int, window: int) -> None:
    age = now - timestamp * SECOND
    if abs(age) > window:
        away = f"{abs(age) / SECOND:.1f} s {'behind' if age > 0 else 'ahead of'} the server's clock ({iso(now)})"
        raise Unauthorized(
            f"oauth_timestamp {timestamp} is {away}; at most {window / SECOND:g} s are allowed. "
            "It counts seconds since 1970: set your clock right and sign anew"
        )
