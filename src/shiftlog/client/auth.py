"""How a request proves who sends it: signed by OAuth 1.0a, or by a bearer token. Generators without I/O, as httpx has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import httpx

from shiftlog import oauth1
from shiftlog.client.profile import Profile
from shiftlog.errors import Forbidden
from shiftlog.oauth1 import Credentials

_Flow = Generator[httpx.Request, httpx.Response, None]


def auth(profile: Profile, clock: Callable[[], float] = time.time) -> httpx.Auth:
    """What a profile's requests prove themselves with; `clock` gives epoch seconds."""
    credentials = profile.credentials
    return Bearer(profile.bearer, profile.url) if credentials is None else OAuth1(credentials, clock)


class OAuth1(httpx.Auth):
    """Signs each request by itself (PROTOCOL: Keys and signing), anew whenever it is sent."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float] = time.time, signature_method: str = "HMAC-SHA1") -> None:
        self._credentials, self._clock, self._signature_method = credentials, clock, signature_method

    def auth_flow(self, request: httpx.Request) -> _Flow:
        request.headers["Authorization"] = oauth1.sign(
            request.method,
            travelling(request.url),
            self._credentials,
            timestamp=int(self._clock()),
            nonce=oauth1.nonce(),
            signature_method=self._signature_method,
        )
        yield request


class Bearer(httpx.Auth):
    """Shows the token to the server it is for, and to no other: a list can name files anywhere."""

    def __init__(self, token: str, url: str) -> None:
        self._token, self._home = token, httpx.URL(url)

    def auth_flow(self, request: httpx.Request) -> _Flow:
        if (request.url.scheme, request.url.netloc) != (self._home.scheme, self._home.netloc):
            shown = str(request.url.copy_with(query=None))
            raise Forbidden(
                f"the server names {shown}, and the bearer token is for {self._home} only; use the key's four OAuth values, "
                "or set the server's public url right"
            )
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def travelling(url: httpx.URL) -> str:
    """The URL as it travels, which is what is signed."""
    return f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}"
