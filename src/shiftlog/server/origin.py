"""Where a request comes from: the client's address, also behind proxies that are trusted to name it (RFC 7239, X-Forwarded-For)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

from shiftlog.errors import Invalid

HEADERS = ("X-Forwarded-For", "Forwarded")
_FOR = re.compile(r"""(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)""", re.IGNORECASE)
_PREFIX = 64  # bits of an IPv6 address that one client is given, and chooses the rest


class Origin:
    """Finds the address that a request comes from.

    `trusted` are addresses and networks of proxies, separated by commas. Each appends to `header` the address that it was asked
    from, so the client is the last one that is no trusted proxy: what stands before it can be made up.

    Raises:
        Invalid: no such network or header.
    """

    def __init__(self, trusted: str, header: str) -> None:
        if header not in HEADERS:
            raise Invalid(f"found the header {header[:40]!r} of proxies; allowed: {', '.join(HEADERS)}")
        self._networks = [_network(text.strip()) for text in trusted.split(",") if text.strip()]
        self._header, self._pick = header.lower().encode(), _forwarded if header == "Forwarded" else _listed

    def of(self, scope: Scope) -> str | None:
        """The client's address; None where the server does not know its peer."""
        client = scope.get("client")
        peer: str | None = client[0] if client else None
        if not self._networks or peer is None or not self._trusts(_address(peer)):
            return peer
        lines = [value.decode("latin-1") for name, value in scope["headers"] if name == self._header]
        found = peer
        for text in reversed([hop for line in lines for hop in self._pick(line)]):
            address = _address(text)
            if address is None:
                return found  # what cannot be read is not passed over: the one who wrote it is the last who is known
            found = str(address)
            if not self._trusts(address):
                return found
        return found

    def is_unheard(self, scope: Scope) -> bool:
        """Whether the request names a client that nobody is trusted to name: it came through a proxy, or pretends to."""
        return not self._networks and any(name == self._header for name, _ in scope["headers"])

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def client(address: str | None) -> str:
    """What counts as one client: an IPv4 address, or the network of an IPv6 address."""
    if address is None or ":" not in address:
        return address or ""
    parsed = _address(address)
    return str(ip_network((parsed, _PREFIX), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed or address)


def _network(text: str):  # type: ignore[no-untyped-def]  # the two kinds of networks share no public type
    try:
        return ip_network(text)
    except ValueError:
        raise Invalid(f"found the trusted proxy {text[:60]!r}; an address or a network is expected, such as 10.0.0.0/8") from None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address with or without brackets, port and quotes; one of IPv4 that is written as IPv6 is IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _listed(line: str) -> Iterable[str]:
    return line.split(",")


def _forwarded(line: str) -> Iterable[str]:
    matches = (_FOR.search(element) for element in line.split(","))
    return [match[1] if match else "" for match in matches]
