"""Where a request comes from, behind proxies or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftlog.errors import Invalid
from shiftlog.server.origin import Origin, client

PROXIES = "10.0.0.0/8, 2001:db8::/32"


def found(peer: str | None, *lines: tuple[str, str], trusted: str = PROXIES, header: str = "X-Forwarded-For") -> str | None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines]
    return Origin(trusted, header).of({"type": "http", "client": (peer, 1) if peer else None, "headers": headers})


def test_without_proxies_it_is_the_peer():
    """Whatever the request says of itself."""
    assert found("192.0.2.1", ("X-Forwarded-For", "198.51.100.7"), trusted="") == "192.0.2.1"
    assert found(None, trusted="") is None


def test_a_peer_that_is_no_proxy_is_the_client():
    """Anyone can send the header."""
    assert found("192.0.2.1", ("X-Forwarded-For", "198.51.100.7")) == "192.0.2.1"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "10.0.0.1"),
        (["198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        (["198.51.100.7", "10.2.3.4"], "198.51.100.7"),
        (["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        (["198.51.100.7:4711, 10.2.3.4:80"], "198.51.100.7"),
        (["[2001:db9::1]:4711"], "2001:db9::1"),
        (["2001:db9::1, 2001:db8::5"], "2001:db9::1"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, nonsense"], "10.0.0.1"),
        (["198.51.100.7, nonsense, 10.2.3.4"], "10.2.3.4"),
        (["198.51.100.7, "], "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(lines: list[str], expected: str):
    """What stands before it can be made up; what cannot be read ends the way back."""
    assert found("10.0.0.1", *(("X-Forwarded-For", line) for line in lines)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('For="[2001:db9::17]:4711";proto=https', "2001:db9::17"),
        ("for=203.0.113.9, proto=https;for=198.51.100.7;by=10.0.0.1", "198.51.100.7"),
        ("for=198.51.100.7, for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("by=10.0.0.2", "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_where_it_is_chosen(line: str, expected: str):
    """RFC 7239 §4; the other header then counts for nothing."""
    others = ("X-Forwarded-For", "203.0.113.1")
    assert found("10.0.0.1", ("Forwarded", line), others, header="Forwarded") == expected
    assert found("10.0.0.1", ("Forwarded", line)) == "10.0.0.1"


@given(st.text(st.characters(max_codepoint=255)), st.sampled_from(["X-Forwarded-For", "Forwarded"]))
def test_whatever_is_sent_an_address_is_found(line: str, header: str):
    """It ends up in the audit log."""
    assert client(found("10.0.0.1", (header, line), header=header))


@pytest.mark.parametrize(("trusted", "header"), [("10.0.0.1/8", "Forwarded"), ("proxy.example.net", "Forwarded"), ("", "X-Real-IP")])
def test_what_is_no_setting_is_refused(trusted: str, header: str):
    """At the start, and not at the first request."""
    with pytest.raises(Invalid):
        Origin(trusted, header)


def test_one_client_has_one_address_or_one_network():
    """A client with IPv6 is given a network, and chooses the rest."""
    assert client("192.0.2.1") == "192.0.2.1"
    assert client("2001:db9::1") == client("2001:db9::ffff:1") == "2001:db9::/64"
    assert client("2001:db9:0:1::1") != client("2001:db9::1")
    assert client("::ffff:192.0.2.1") == "192.0.2.1"
    assert client(None) == ""
