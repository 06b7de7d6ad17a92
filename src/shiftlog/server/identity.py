"""Who asks: the key that an Authorization header shows, by OAuth 1.0a signature or as a bearer token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from shiftlog import oauth1
from shiftlog.catalog import keys
from shiftlog.catalog.keys import Key
from shiftlog.catalog.trail import Nonce
from shiftlog.catalog.vault import hashed
from shiftlog.errors import Unauthorized
from shiftlog.house import House
from shiftlog.oauth1 import Credentials
from shiftlog.server.ledger import Ledger
from shiftlog.server.threads import Threads

_REMEMBERED = 1.0  # seconds: so long a revoked key may still be let in
_MANY = 10_000  # keys remembered; more than that are forgotten all at once
_LATELY = 20_000  # nonces remembered; the catalog has all that count

_EXPECTED = 'an OAuth 1.0a signature (`Authorization: OAuth oauth_consumer_key="…", …`) or `Authorization: Bearer …` is expected'


class Ended(Unauthorized):
    """A key was proved, and is revoked or has expired."""

    def __init__(self, key: Key) -> None:
        self.key = key
        super().__init__(f"the key {'has expired' if key.revoked is None else 'was revoked'}; ask for a new one")


class Proof(NamedTuple):
    """Whose request it is, and the nonce that has to be taken before it is answered."""

    key: Key
    nonce: Nonce | None


def used() -> Unauthorized:
    """A nonce is there a second time."""
    return Unauthorized("this signature was used before; sign each request anew, with a nonce of its own")


class _Lately:
    """The last nonces that came, at least `_LATELY`: who repeats a request that was overheard costs the catalog nothing, and the key
    none of its limits."""

    def __init__(self) -> None:
        self._newer, self._older = set[Nonce](), set[Nonce]()

    def is_new(self, nonce: Nonce) -> bool:
        """Whether it did not come lately; it has now."""
        if nonce in self._newer or nonce in self._older:
            return False
        if len(self._newer) >= _LATELY:
            self._newer, self._older = set(), self._newer
        self._newer.add(nonce)
        return True


class Keyring:
    """Finds the keys of requests. Keys are remembered for at most a second; those that are not found are asked for each time."""

    def __init__(self, house: House, ledger: Ledger, threads: Threads) -> None:
        self._house, self._ledger, self._threads = house, ledger, threads
        self._window = house.settings.oauth_window_seconds * 1000
        self._known: dict[tuple[str, str], tuple[float, Key]] = {}
        self._lately = _Lately()

    async def authenticate(self, authorization: Sequence[str], method: str, url: str) -> Proof:
        """What these Authorization headers prove; `method` and `url` are those of the request as it was sent.

        A signature's nonce was not seen here lately; that it was never used, nowhere, the catalog says when it is taken.

        Raises:
            Unauthorized: none is proved. The answer never depends on what is asked for.
            Later: the catalog does not answer.
        """
        if len(authorization) != 1:
            raise Unauthorized(f"found {'several Authorization headers' if authorization else 'no Authorization header'}; {_EXPECTED}")
        scheme, _, token = authorization[0].partition(" ")
        if scheme.lower() == "oauth":
            return await self._signed(authorization[0], method, url)
        if scheme.lower() == "bearer":
            return Proof(self._valid(await self._find("bearer", token.strip())), None)
        # The scheme is not repeated: it may be a secret that was sent without one.
        raise Unauthorized(f"the scheme of the Authorization header is not spoken; {_EXPECTED}")

    async def signed_in(self, key_id: int) -> Key:
        """The key of someone who signed in with it.

        Raises:
            Unauthorized: it was revoked or has expired since.
            Later: the catalog does not answer.
        """
        return self._valid(await self._find("id", str(key_id)))

    async def _signed(self, header: str, method: str, url: str) -> Proof:
        signed = oauth1.parse_header(header)
        key = await self._find("token", signed.token)
        if key is None:
            raise Unauthorized("oauth_token is not known; use it as it was handed out")
        credentials = Credentials(key.consumer_key, key.consumer_secret, key.token, key.token_secret)
        oauth1.verify(signed, method, url, credentials, now=_now(), window=self._window)
        self._valid(key)
        once = signed.once(self._window)
        nonce = Nonce(key.id, once.timestamp, once.nonce, once.expires)
        if not self._lately.is_new(nonce):
            raise used()
        return Proof(key, nonce)

    async def take(self, nonce: Nonce) -> None:
        """Raises:
        Unauthorized: it was taken before, by this server or another.
        Later: the catalog does not answer.
        """
        if not await asyncio.wrap_future(self._ledger.use(nonce)):
            raise used()

    def _valid(self, key: Key | None) -> Key:
        if key is None:
            raise Unauthorized("the token is not known; use the bearer token as it was handed out")
        if not key.valid(_now()):
            raise Ended(key)
        return key

    async def _find(self, kind: str, value: str) -> Key | None:
        name = (kind, hashed(value))
        known = self._known.get(name)
        if known and time.monotonic() - known[0] < _REMEMBERED:
            return known[1]
        asked = time.monotonic()
        key = await self._threads.read(self._read, kind, value)
        if key is None:
            self._known.pop(name, None)
            return None
        if len(self._known) >= _MANY:
            self._known.clear()
        self._known[name] = (asked, key)
        return key

    def _read(self, kind: str, value: str) -> Key | None:
        with self._house.catalog.read() as conn:
            if kind == "token":
                return keys.by_token(conn, self._house.vault, value)
            if kind == "id":
                return keys.by_id(conn, self._house.vault, int(value))
            return keys.by_bearer(conn, self._house.vault, value)


def _now() -> int:
    # This machine's clock: a signature's window is minutes wide, and asking the catalog's would cost a query a request.
    return time.time_ns() // 1_000_000
