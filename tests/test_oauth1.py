"""OAuth 1.0a: the RFC's own examples, and oauthlib on the other side of the wire."""

from __future__ import annotations

import re
import string
from collections import namedtuple
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

import pytest
import requests
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from oauthlib.oauth1 import Client
from oauthlib.oauth1.rfc5849 import signature as other
from requests_oauthlib import OAuth1

from shiftlog import oauth1
from shiftlog.errors import Invalid, Unauthorized, Unsupported
from shiftlog.hours import MINUTE, SECOND

AT = 1_700_000_000
NOW, WINDOW, ALWAYS = AT * SECOND, 5 * MINUTE, 10**18
KEY = oauth1.Credentials("9djdj82h48djs9d2", "consumer-secret", "kkk9d7dh3k39sjv7", "token-secret")
URL = "https://Da.Example.net:8443/data_access_le/account/1/le/agentActivity?q=a%2Bb+c&empty=&twice=1&twice=2&flag&%C3%BC=%F0%9F%99%82"
PRINTED = string.ascii_letters + string.digits + string.punctuation

OtherRequest = namedtuple("OtherRequest", "uri http_method params signature")
OTHER_VERIFY = {"HMAC-SHA1": other.verify_hmac_sha1, "HMAC-SHA256": other.verify_hmac_sha256}


def signed(url=URL, method="GET", credentials=KEY, **changes):
    """A header of ours, with everything fixed that is not changed."""
    return oauth1.sign(method, url, credentials, **{"timestamp": AT, "nonce": "7d8f3e4a", **changes})


def check(header, url=URL, method="GET", credentials=KEY, now=NOW, window=WINDOW):
    """Parse and verify, as the server does."""
    oauth1.verify(oauth1.parse_header(header), method, url, credentials, now=now, window=window)


def signed_by_other(url, method="GET", signature_method="HMAC-SHA1", credentials=KEY, **request):
    """The Authorization header that oauthlib's client sends."""
    client = Client(
        credentials.consumer_key,
        credentials.consumer_secret,
        credentials.token,
        credentials.token_secret,
        signature_method=signature_method,
        timestamp=str(AT),
    )
    return client.sign(url, method, **request)[1]["Authorization"]


def verified_by_other(header, url, method, credentials):
    """What oauthlib's server side says of a header."""
    pairs = other.collect_parameters(urlsplit(url).query, headers={"Authorization": header}, exclude_oauth_signature=False)
    given = dict(pairs)
    params = [pair for pair in pairs if pair[0] != "oauth_signature"]
    request = OtherRequest(url, method, params, given["oauth_signature"])
    return OTHER_VERIFY[given["oauth_signature_method"]](request, credentials.consumer_secret, credentials.token_secret)


def header_of(parameters):
    """An OAuth header of raw (name, value) pairs."""
    return "OAuth " + ", ".join(f'{name}="{value}"' for name, value in parameters)


# ── the RFC's examples ──

RFC_HEADER = (
    'OAuth realm="Example", oauth_consumer_key="9djdj82h48djs9d2", oauth_token="kkk9d7dh3k39sjv7", '
    'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131201", oauth_nonce="7d8f3e4a", '
    'oauth_signature="bYT5CMsGcbgUdFHObYMEfcx6bsw%3D"'
)
RFC_BASE = (
    "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26"
    "oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26"
    "oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
)


def test_base_string_of_rfc_3_4_1_1():
    """Query, header and form body are gathered, encoded and sorted as in the RFC's example."""
    header = oauth1.parse_header(RFC_HEADER)
    params = [*header.params, ("realm", header.realm), ("oauth_signature", header.signature), ("c2", ""), ("a3", "2 q")]
    assert oauth1.base_string("post", "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b", params) == RFC_BASE


def test_header_of_rfc_3_4_1_1():
    """Every field of the RFC's example header is found."""
    header = oauth1.parse_header(RFC_HEADER)
    assert (header.consumer_key, header.token, header.signature_method) == ("9djdj82h48djs9d2", "kkk9d7dh3k39sjv7", "HMAC-SHA1")
    assert (header.timestamp, header.nonce, header.realm) == (137131201, "7d8f3e4a", "Example")
    assert header.signature == "bYT5CMsGcbgUdFHObYMEfcx6bsw="


def rfc_1_2(**more):
    """The parameters that the requests of section 1.2 have in common, and more."""
    common = {"oauth_consumer_key": "dpf43f3p2l4k3l03", "oauth_signature_method": "HMAC-SHA1"}
    return {**common, **{f"oauth_{name}": value for name, value in more.items()}}.items()


@pytest.mark.parametrize(
    ("method", "url", "token_secret", "params", "expected"),
    [
        (
            "POST",
            "https://photos.example.net/initiate",
            "",
            rfc_1_2(timestamp="137131200", nonce="wIjqoS", callback="http://printer.example.com/ready"),
            "74KNZJeDHnMBp0EMJ9ZHt/XKycU=",
        ),
        (
            "POST",
            "https://photos.example.net/token",
            "hdhd0244k9j7ao03",
            rfc_1_2(token="hh5s93j4hdidpola", timestamp="137131201", nonce="walatlh", verifier="hfdp7dh39dks9884"),
            "gKgrFCywp7rO0OXSjdot/IHF7IU=",
        ),
        (
            "GET",
            "http://photos.example.net/photos?file=vacation.jpg&size=original",
            "pfkkdhi9sl3r4s00",
            rfc_1_2(token="nnch734d00sl2jdk", timestamp="137131202", nonce="chapoH"),
            "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
        ),
    ],
)
def test_signatures_of_rfc_1_2(method, url, token_secret, params, expected):
    """The signatures of the RFC's opening example come out."""
    credentials = oauth1.Credentials("dpf43f3p2l4k3l03", "kd94hf93k423kf44", "", token_secret)
    assert oauth1.signature(oauth1.base_string(method, url, params), credentials) == expected


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://EXAMPLE.COM:80/r%20v/X?id=123", "http://example.com/r%20v/X"),
        ("https://www.example.net:8080/?q=1", "https://www.example.net:8080/"),
        ("HTTPS://Example.net:443", "https://example.net/"),
        ("https://example.net:80/a#part", "https://example.net:80/a"),
        ("http://me:pass@example.net:/a;b=1?c#d?e", "http://example.net/a;b=1"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
    ],
)
def test_base_uri(url, base):
    """Scheme and host in lower case, no default port, no user, query or fragment (RFC 5849 §3.4.1.2)."""
    assert oauth1.base_string("GET", url, []).split("&")[1] == quote(base, safe="")


@pytest.mark.parametrize(
    "url", ["", "/le", "ftp://a/b", "https:///b", "https://a b/", "https://a/\u00fc", "https://a/\n", "http://a:x/", "http://[a"]
)
def test_what_cannot_be_signed(url):
    """A URL that does not travel as it stands is refused to the client, and is no way in at the server."""
    with pytest.raises(Invalid, match="absolute, percent-encoded http or https URL"):
        signed(url)
    with pytest.raises(Unauthorized, match="absolute, percent-encoded http or https URL"):
        check(signed(), url)


def test_password_of_a_url_is_not_shown():
    """The message about a bad URL leaves user and password out."""
    with pytest.raises(Invalid, match="//host") as caught:
        signed("https://me:pass@host/with space")
    assert "pass@" not in str(caught.value)


def test_unknown_method_is_not_signed():
    """A client cannot be set up for a signature method that is not spoken."""
    with pytest.raises(Unsupported, match="HMAC-SHA1, HMAC-SHA256"):
        signed(signature_method="PLAINTEXT")


# ── oauthlib on the other side ──

methods = st.sampled_from(list(oauth1.METHODS))
verbs = st.sampled_from(["GET", "HEAD", "POST", "delete"])
texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["", "+", "%", "%2B", "&=", "a b", "~", "é", "🙂"])
secrets = st.text(st.characters(codec="utf-8"), max_size=40)
names = st.text(st.sampled_from(PRINTED), min_size=1, max_size=40)
credentials = st.builds(oauth1.Credentials, names, secrets, names, secrets)


def lower_hex(text):
    """Percent-encoded with lower-case digits, and more than has to be."""
    return "".join(f"%{byte:02x}" for byte in text.encode())


encodings = st.sampled_from([lambda text: quote(text, safe=""), quote_plus, lower_hex, lambda text: quote(text, safe="!*'()/,:@")])


@st.composite
def urls(draw):
    """URLs as they travel: odd queries, case and ports."""
    encode = draw(encodings)
    scheme = draw(st.sampled_from(["http", "https", "HTTP", "Https"]))
    host = draw(st.sampled_from(["example.net", "Va-A.DA.Example.NET", "127.0.0.1", "[::1]", "localhost"]))
    port = draw(st.sampled_from(["", ":80", ":443", ":8080"]))
    path = "".join("/" + quote(segment, safe="@:!$'()*,=") for segment in draw(st.lists(texts, max_size=3)))
    fields = [
        encode(name) + sign + encode(value) * bool(sign)
        for name, sign, value in draw(st.lists(st.tuples(texts, st.sampled_from(["=", "=", ""]), texts), max_size=4))
    ]
    fields += fields[: draw(st.integers(0, 2))]
    assume(not path.startswith("//"))
    return f"{scheme}://{host}{port}{path}" + ("?" + "&".join(fields) if fields or draw(st.booleans()) else "")


@settings(max_examples=100, deadline=None)
@given(urls(), verbs, methods, credentials)
@example(URL, "GET", "HMAC-SHA1", KEY)
def test_what_oauthlib_signs_is_verified(url, verb, method, key):
    """Whatever URL oauthlib's client signs, its signature is good here."""
    check(signed_by_other(url, verb, method, key), url, verb, key)


@settings(max_examples=100, deadline=None)
@given(urls(), verbs, methods, credentials)
@example(URL, "GET", "HMAC-SHA256", KEY)
def test_what_is_signed_oauthlib_verifies(url, verb, method, key):
    """Whatever URL is signed here, oauthlib's server finds the signature good; and so do we."""
    header = signed(url, verb, key, signature_method=method)
    assert verified_by_other(header, url, verb, key)
    check(header, url, verb, key)


@settings(max_examples=50, deadline=None)
@given(urls(), methods)
@example(URL, "HMAC-SHA1")
def test_requests_oauthlib(url, method):
    """A request that requests-oauthlib has prepared is verified at the URL it is sent to, JSON body and all."""
    auth = OAuth1(KEY.consumer_key, KEY.consumer_secret, KEY.token, KEY.token_secret, signature_method=method, timestamp=str(AT))
    request = requests.Request("GET", url, auth=auth, data="{}", headers={"Content-Type": "application/json"}).prepare()
    header = request.headers["Authorization"]
    check(header.decode() if isinstance(header, bytes) else header, request.url)


def test_body_hash_is_signed_and_means_nothing():
    """A client that sends oauth_body_hash is understood, and the hash cannot be changed."""
    header = signed_by_other(URL, "POST", body="{}", headers={"Content-Type": "application/json"})
    assert "oauth_body_hash" in dict(oauth1.parse_header(header).params)
    check(header, method="POST")
    with pytest.raises(Unauthorized, match="oauth_signature"):
        check(header.replace('oauth_body_hash="', 'oauth_body_hash="A'), method="POST")


def test_realm_is_not_signed():
    """The realm is kept as it was sent, and is no part of the signature."""
    header = signed().replace("OAuth ", 'oauth realm="the \\"inner, %41=1\\" \\\\",\t')
    check(header)
    assert oauth1.parse_header(header).realm == 'the \\"inner, %41=1\\" \\\\'


def test_reserved_characters_need_not_be_encoded():
    """A client that sends its signature and nonce as they are, without percent-encoding, is understood."""
    header = signed(nonce="a+b/c=")
    assert "%" in header
    check("OAuth " + unquote(header[6:]))


# ── what is not let in ──


def meaning(url):
    """What a URL asks for, by the standard library; None where that is nothing."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        query = sorted(parse_qsl(parts.query, keep_blank_values=True, encoding="latin-1"))
    except (ValueError, KeyError):
        return None
    return parts.scheme, parts.hostname, port, parts.path, query


def one_off(text):
    """Every text that differs from this one in one printable character."""
    return (text[:i] + other + text[i + 1 :] for i in range(len(text)) for other in PRINTED if other != text[i])


def accepted(header, url=URL):
    """Whether a request is let in, whatever its age."""
    try:
        check(header, url, window=ALWAYS)
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize("method", oauth1.METHODS)
def test_every_changed_character_of_the_url_is_noticed(method):
    """A signature is good for one URL and those that mean the same, and for no other."""
    header = signed(signature_method=method)
    assert accepted(header)
    wrong = [url for url in one_off(URL) if accepted(header, url) != (meaning(url) == meaning(URL))]
    assert wrong == []


@pytest.mark.parametrize("method", oauth1.METHODS)
def test_every_changed_character_of_the_header_is_noticed(method):
    """Key, token, timestamp, nonce, signature, names and commas: none can be changed."""
    header = signed(signature_method=method)
    same = re.compile(r"(?i:oauth) " + re.escape(unquote(header)[6:]))
    wrong = [changed for changed in one_off(header) if accepted(changed) != bool(same.fullmatch(unquote(changed)))]
    assert wrong == []


@pytest.mark.parametrize("added", ["oauth_signature=x", "realm=x", "oauth_nonce=x", "%6Fauth_signature=x", "x", "="])
def test_nothing_is_added_to_a_query_unseen(added):
    """Even a field with the name of an unsigned parameter is signed, where it is one of the query's."""
    with pytest.raises(Unauthorized, match=r"does not fit GET https://da\.example\.net:8443/"):
        check(signed(), f"{URL}&{added}")


def test_bytes_that_are_not_utf8_are_kept_apart():
    """Broken UTF-8 in a query is signed byte by byte."""
    header = signed("https://a/?q=%FF")
    check(header, "https://a/?q=%ff")
    with pytest.raises(Unauthorized, match="oauth_signature"):
        check(header, "https://a/?q=%FE")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "POST"}, "does not fit POST"),
        ({"credentials": oauth1.Credentials("9djdj82h48djs9d2", "other", "kkk9d7dh3k39sjv7", "token-secret")}, "does not fit"),
        ({"credentials": oauth1.Credentials("9djdj82h48djs9d2", "consumer-secret", "kkk9d7dh3k39sjv7", "")}, "does not fit"),
        ({"credentials": oauth1.Credentials("other", "consumer-secret", "kkk9d7dh3k39sjv7", "token-secret")}, "not those of one key"),
        ({"credentials": oauth1.Credentials("9djdj82h48djs9d2", "consumer-secret", "other", "token-secret")}, "not those of one key"),
    ],
)
def test_another_request_or_key(change, says):
    """Another method, secret, key or token is refused; no message gives a secret or the expected signature away."""
    with pytest.raises(Unauthorized, match=says) as caught:
        check(signed(), **change)
    expected = oauth1.signature(oauth1.base_string("POST", URL, oauth1.parse_header(signed()).params), KEY)
    assert not [hidden for hidden in ("consumer-secret", "token-secret", expected) if hidden in str(caught.value)]


@pytest.mark.parametrize("now", [NOW - WINDOW, NOW + WINDOW])
def test_edge_of_the_window(now):
    """A signature is let in up to the window's edge, before and after its time."""
    check(signed(), now=now)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (NOW + WINDOW + 1, "300.0 s behind the server's clock (2023-11-14T22:18:20.001+00:00); at most 300 s"),
        (NOW - WINDOW - SECOND, "301.0 s ahead of the server's clock (2023-11-14T22:08:19+00:00); at most 300 s"),
    ],
)
def test_stale_timestamp(now, says):
    """Past the window the message says how far off the clock is, and in which direction."""
    with pytest.raises(Unauthorized, match=re.escape(says)):
        check(signed(), now=now)


def test_what_has_to_be_remembered():
    """A nonce is remembered with its key and timestamp up to the last instant at which it would be let in."""
    once = oauth1.parse_header(signed()).once(WINDOW)
    assert once == (KEY.consumer_key, AT, "7d8f3e4a", NOW + WINDOW)
    check(signed(), now=once.expires)
    with pytest.raises(Unauthorized, match="behind"):
        check(signed(), now=once.expires + 1)


# ── the header's form ──

PARAMETERS = {
    "oauth_consumer_key": "key",
    "oauth_token": "token",
    "oauth_signature_method": "HMAC-SHA1",
    "oauth_signature": "c2lnbmF0dXJl",
    "oauth_timestamp": str(AT),
    "oauth_nonce": "nonce",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_missing_parameter(name):
    """Each required parameter is missed by its name."""
    with pytest.raises(Unauthorized, match=f"^{name} is missing"):
        oauth1.parse_header(header_of((key, value) for key, value in PARAMETERS.items() if key != name))


@pytest.mark.parametrize("name", [*PARAMETERS, "oauth_version", "oauth_body_hash", "realm"])
def test_parameter_given_twice(name):
    """A parameter that comes twice is refused, even with the same value."""
    value = PARAMETERS.get(name, "1.0")
    with pytest.raises(Unauthorized, match=f"^{name} is there twice"):
        oauth1.parse_header(header_of([*({**PARAMETERS, name: value}).items(), (name, value)]))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("oauth_signature_method", "PLAINTEXT", "'PLAINTEXT' is not spoken; allowed: HMAC-SHA1, HMAC-SHA256"),
        ("oauth_signature_method", "hmac-sha1", "is not spoken"),
        ("oauth_version", "2.0", "'2.0' is not spoken; 1.0"),
        ("oauth_version", "", "is not spoken; 1.0"),
        ("oauth_timestamp", "0", "whole seconds since 1970"),
        ("oauth_timestamp", "-1", "whole seconds since 1970"),
        ("oauth_timestamp", "1.5", "whole seconds since 1970"),
        ("oauth_timestamp", "01", "whole seconds since 1970"),
        ("oauth_timestamp", "9" * 16, "whole seconds since 1970"),
        ("oauth_timestamp", "%D9%A1", "whole seconds since 1970"),
        ("oauth_timestamp", "1%0A", "whole seconds since 1970"),
        ("oauth_nonce", "", "printable ASCII"),
        ("oauth_nonce", "n" * 129, "printable ASCII"),
        ("oauth_nonce", "a%20b", "printable ASCII"),
        ("oauth_consumer_key", "%C3%BC", "printable ASCII"),
        ("oauth_token", "", "printable ASCII"),
        ("oauth_token", "t%0A", "printable ASCII"),
        ("oauth_signature", "%C3%BC", "printable ASCII"),
        ("oauth_nonce", "%FF", "not percent-encoded UTF-8"),
        ("oauth_nonce", "%ED%A0%80", "not percent-encoded UTF-8"),
        ("oauth_nonce", "%4", "Authorization header is malformed"),
        ("oauth_nonce", "a b", "Authorization header is malformed"),
        ("oauth_nonce", 'a"b', "Authorization header is malformed"),
        ("oauth_nonce", "ü", "Authorization header is malformed"),
        ("oauth_nonce", "\n", "Authorization header is malformed"),
        ("scope", "all", "Authorization header is malformed"),
        ("OAuth_token", "t", "Authorization header is malformed"),
    ],
)
def test_wrong_value(name, value, says):
    """Each wrong value is refused by a message that says what is allowed."""
    with pytest.raises(Unauthorized, match=re.escape(says)):
        oauth1.parse_header(header_of({**PARAMETERS, name: value}.items()))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("", "is not an OAuth header"),
        ("OAuth", "is not an OAuth header"),
        ("Basic czNjcjN0OnMzY3IzdA==", "is not an OAuth header"),
        ("OAuth ", "oauth_consumer_key is missing"),
        ("OAuth ,", "parameter at character 7"),
        (header_of(PARAMETERS.items()) + ",", "parameter at character 152"),
        (header_of(PARAMETERS.items()) + "\n", "parameter at character 152"),
        (header_of(PARAMETERS.items()).replace(", ", " "), "parameter at character 7"),
        (header_of(PARAMETERS.items()).replace(", ", ",,"), "parameter at character 7"),
        ("OAuth oauth_token=t", "parameter at character 7"),
        (header_of({**PARAMETERS, "oauth_x": "x" * 4096}.items()), "characters; at most 4096 are allowed"),
        ("OAuth " + " " * 4091, "has 4097 characters"),
    ],
)
def test_malformed_header(header, says):
    """A header of another scheme or form is refused at the place where it goes wrong, and never repeated."""
    with pytest.raises(Unauthorized, match=re.escape(says)) as caught:
        oauth1.parse_header(header)
    assert "czNjcjN0" not in str(caught.value)


pieces = (
    st.sampled_from([*PARAMETERS, "oauth_version", "realm", "=", '"', '="', '", ', ",", "%", "%C3", "1.0", "HMAC-SHA1", "1", "\\"]) | texts
)
odd_values = st.text(st.sampled_from(PRINTED + ' \n%"\\ü٣'), max_size=12)
odd_headers = (
    st.text()
    | st.binary().map(lambda raw: "OAuth " + raw.decode("latin-1"))
    | st.lists(pieces, max_size=30).map(lambda parts: "OAuth " + "".join(parts))
    | st.dictionaries(st.sampled_from([*PARAMETERS, "realm", "oauth_version"]), odd_values).map(
        lambda odd: header_of({**PARAMETERS, **odd}.items())
    )
)


@settings(max_examples=300, deadline=None)
@given(odd_headers, st.text() | urls())
@example("OAuth \ud800", "https://\ud800/")
def test_nothing_but_unauthorized_is_raised(header, url):
    """Whatever stands in a header or a URL, the answer is Unauthorized, and never another error."""
    with pytest.raises(Unauthorized):
        check(header, url, credentials=oauth1.Credentials("key", "s", "token", "s"), window=ALWAYS)


# ── values ──


def test_secrets_are_not_shown():
    """Neither secrets nor signatures are in the text of a value."""
    shown = repr(KEY) + repr(oauth1.parse_header(signed()))
    assert "secret'" not in shown
    assert "consumer-secret" not in shown
    assert oauth1.parse_header(signed()).signature not in shown


def test_nonces_differ():
    """A nonce is 32 hex digits, and new each time."""
    nonces = {oauth1.nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", nonce) for nonce in nonces)
