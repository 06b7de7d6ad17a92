"""Files that a server sends its clients to a bucket for: followed there, and nothing of the key is shown to it.

The address that the server gives is a secret, for some time: it stands in no message, and in no line that httpx logs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import httpx

from shiftlog.client import answers
from shiftlog.errors import Forbidden, Later, Missing

Ask = Callable[[httpx.URL, Mapping[str, str]], AbstractContextManager[httpx.Response]]

_FOLLOWED = {302, 303, 307}
_HOPS = 3


def points_elsewhere(response: httpx.Response) -> bool:
    """Whether a file is to be had somewhere else. The same path by another scheme or host is the API itself, behind a proxy:
    what was signed for one address is worth nothing at another, so the profile's url has to be set right."""
    target = _target(response)
    return response.status_code in _FOLLOWED and target is not None and target.path != response.request.url.path


@contextmanager
def followed(response: httpx.Response, headers: Mapping[str, str], ask: Ask) -> Iterator[httpx.Response]:
    """The answer from where a response points to, whose body is still to come; `ask` asks without a key.

    Raises:
        Forbidden: what came by TLS would be sent on without it.
        Later: the address is refused there, or its host is busy: the server makes another when it is asked again.
        Missing: the object is not there.
    """
    target = _checked(response, response.request.url)
    for left in reversed(range(_HOPS)):
        with ask(target, headers) as there:
            if left and there.status_code in _FOLLOWED:
                target = _checked(there, target)
                continue
            _check(there, target.host, response.request.url)
            yield there
            return


def _target(response: httpx.Response) -> httpx.URL | None:
    try:
        return response.request.url.join(response.headers["Location"])
    except (KeyError, httpx.InvalidURL):
        return None


def _checked(response: httpx.Response, source: httpx.URL) -> httpx.URL:
    target = _target(response)
    if target is None or target.scheme not in ("http", "https") or not target.host:
        raise Later(f"{source.host} sends its clients elsewhere for a file, and does not say where to")
    if source.scheme == "https" and target.scheme == "http":
        raise Forbidden(f"{source.host} sends its clients from https to http://{target.host}, where the file could be read on the way")
    return target


def _check(there: httpx.Response, host: str, asked: httpx.URL) -> None:
    status = there.status_code
    if status in (200, 206, 416):
        return
    there.read()
    said = f"{host}, to which {asked.host} sends for {asked.path.rpartition('/')[2]}, answered {status}"
    if status == 404:
        raise Missing(f"{said}: it is not there")
    raise Later(f"{said}; {asked.host} is asked for another address", answers.retry_after(there))


_SIGNED = re.compile(rb"(X-Amz-Signature|X-Goog-Signature|sig)=", re.IGNORECASE)


class _Discreet(logging.Filter):
    """Takes the query out of the URLs in httpx's lines, where there is a signature in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_without_signature(arg) for arg in record.args)
        return True


def _without_signature(value: object) -> object:
    return value.copy_with(query=None) if isinstance(value, httpx.URL) and _SIGNED.search(value.query) else value


def be_discreet() -> None:
    """From now on httpx logs no signature; may be called again."""
    logger = logging.getLogger("httpx")
    if not any(isinstance(there, _Discreet) for there in logger.filters):
        logger.addFilter(_Discreet())
