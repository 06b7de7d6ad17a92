"""What is fuzzed: whatever reads bytes that others send.

A target takes any bytes. It returns, or ends in a `ShiftlogError`; what it read it can say again in its own words.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
from starlette.datastructures import Headers

from shiftlog import columns, container, documents, events, hours, oauth1, spelling
from shiftlog.documents import Place
from shiftlog.errors import ShiftlogError
from shiftlog.names import SUFFIXES, PartName, split_suffix
from shiftlog.oauth1 import Credentials
from shiftlog.server import bodies, files, formats, origin, parameters
from shiftlog.server.origin import Origin
from shiftlog.server.pages import cookies, gate
from shiftlog.server.pages.view import View

NOW = 1_790_000_000_000
MOST = 1 << 20  # bytes of text that come out of bytes of gzip
_CREDENTIALS = Credentials("ck", "cs", "tk", "ts")
_SECRET = b"k" * 32


def text(data: bytes) -> str:
    """As servers hand headers on: each byte a character."""
    return data.decode("latin-1")


def decoder(data: bytes) -> None:
    """A container: the fast readers and the exact one agree on all that the fast ones take."""
    container.decode(data, name="x", limit=MOST)
    if not data.startswith(b"\x1f\x8b"):
        for reader in (spelling, columns):
            fast = reader.read(data)
            if fast is not None and not fast.equals(exact := documents.read(data, Place("x"))):
                raise AssertionError(f"the readers disagree: {fast.rows()} and {exact.rows()}")


def packed_decoder(data: bytes) -> None:
    """The same text, as gzip: what the fuzzer cannot make by itself."""
    assert container.decode(gzip.compress(data, 0), name="x").equals(container.decode(data, name="x"))


def events_in(data: bytes) -> None:
    """Events in the forms in which they come; what is taken is as many as were sent, within their bounds, and the same by both readers."""
    form = events.FORMS[data[0] % len(events.FORMS)] if data else events.NDJSON
    plain = events.plain(data[1:], now=NOW) if form == events.NDJSON else None
    frame = events.exactly(data[1:], form, account="A", now=NOW, max_events=1_000)
    if plain is not None and not plain.equals(frame):
        raise AssertionError(f"the readers disagree: {plain.rows()} and {frame.rows()}")
    assert 0 <= frame.height <= 1_000
    assert frame.filter(pl.col("agentID").is_null() | pl.col("timestamp").is_null() | pl.col("eventId").is_null()).is_empty()
    if form == events.NDJSON:
        assert frame.height == sum(bool(line.strip()) for line in data[1:].split(b"\n"))


def body(data: bytes) -> None:
    """A gzip body: what comes out is what Python's own gzip makes of it, and no more than is allowed."""
    unpacked = bodies.unpack(data, "gzip", MOST)
    assert len(unpacked) <= MOST
    assert unpacked == gzip.decompress(data)


def oauth_header(data: bytes) -> None:
    """An Authorization header; whatever it says, it was not signed with the secrets that it cannot know."""
    signed = oauth1.parse_header(text(data))
    signed.once(300_000)
    try:
        oauth1.verify(signed, "GET", "http://a/b?c=d", _CREDENTIALS, now=NOW, window=300_000)
    except ShiftlogError:
        return
    raise AssertionError("signed without the secrets")


def signed_url(data: bytes) -> None:
    """A URL as it was sent: whatever it is, its signature holds, and does not hold for another one."""
    method, _, url = text(data).replace("#", "").partition(" ")  # what follows a # is never sent
    header = oauth1.parse_header(oauth1.sign(method, url, _CREDENTIALS, timestamp=NOW // 1000, nonce="n"))
    oauth1.verify(header, method, url, _CREDENTIALS, now=NOW, window=300_000)
    other = url + ("&" if "?" in url else "?") + "fuzz=1"
    try:
        oauth1.verify(header, method, other, _CREDENTIALS, now=NOW, window=300_000)
    except ShiftlogError:
        return
    raise AssertionError("a signature holds for two URLs")


def file_range(data: bytes) -> None:
    """Range and the preconditions: what is answered lies within the file."""
    size, *lines = data.split(b"\n")
    length = int.from_bytes(size[:4], "big")
    names = (b"range", b"if-range", b"if-none-match", b"if-modified-since")
    headers = Headers(raw=list(zip(names, lines, strict=False)))
    found = files.decide(headers, "GET", etag='"abc"', modified=NOW // 1000, size=length)
    assert found.status in (200, 206, 304, 416)
    if found.status in (200, 206):
        assert 0 <= found.start <= found.end <= length
        assert found.status == 200 or found.start < found.end


def part_name(data: bytes) -> None:
    """Names of parts: what is one, is written as it was read, but for zeros in front."""
    name, suffix = split_suffix(data.decode("utf-8", "replace"))
    assert PartName.parse(str(name)) == name
    assert suffix in SUFFIXES


def cursor(data: bytes) -> None:
    """A list's cursor: what is one stands for one place."""
    generated, seq = parameters.after(text(data))
    assert parameters.after(parameters.cursor(generated, seq)) == (generated, seq)


def accept(data: bytes) -> None:
    """An Accept header: what is chosen was offered, and an error can be written in it."""
    assert formats.choose(text(data), formats.BOTH) in (*formats.BOTH, None)


def form(data: bytes) -> None:
    """Content-Type and Content-Encoding."""
    media, _, encoding = data.partition(b"\n")
    headers = Headers(raw=[(b"content-type", media), (b"content-encoding", encoding)])
    assert bodies.form(headers) in events.FORMS
    assert bodies.encoding(headers) in ("gzip", "identity")


def forwarded(data: bytes) -> None:
    """The headers of proxies: what is found is an address, and fits into the audit log."""
    name, lines = ("Forwarded", data[1:]) if data[:1] == b"F" else ("X-Forwarded-For", data)
    headers = [(name.lower().encode(), line) for line in lines.split(b"\n")]
    found = Origin("10.0.0.0/8, 2001:db8::/32", name).of({"type": "http", "client": ("10.0.0.1", 1), "headers": headers})
    assert found
    assert len(found) <= 64
    assert origin.client(found)


def time(data: bytes) -> None:
    """A time, and a view of the pages."""
    first, last, tz = (*data.decode("utf-8", "replace").split("\n", 2), "", "")[:3]
    instant = hours.parse(first)
    assert instant == round(datetime.fromisoformat(hours.iso(instant)).astimezone(UTC).timestamp() * 1000)
    View.parse({"from": first, "to": last, "tz": tz}, "A", "Europe/Berlin", NOW)


def page_cookie(data: bytes) -> None:
    """A cookie that is not ours is nobody's; and where someone is led to is here."""
    assert cookies.read(text(data), _SECRET, NOW) is None
    path = gate.local(data.decode("utf-8", "replace"))
    assert path is None or (path.startswith("/") and not path.startswith(("//", "/\\")))


def error_text(data: bytes) -> None:
    """What a request brought is repeated in an error: in JSON and XML alike, and as header."""
    from shiftlog.server import shapes

    message = data.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
    document = shapes.Error(shapes.Problem("2016-06-16T13:07:03.196+00:00", message, 1))
    from xml.etree import ElementTree

    assert json.loads(formats.render(document, formats.JSON))["error"]["message"] == message
    assert ElementTree.fromstring(formats.render(document, formats.XML)).find("message") is not None


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(decoder, packed_decoder, events_in, body, oauth_header, signed_url, file_range, part_name, cursor),
        *(accept, form, forwarded, time, page_cookie, error_text),
    )
}


def every(data: bytes) -> None:
    """All of them, by the first byte: for a short run, which would else be nothing but starting."""
    list(TARGETS.values())[int.from_bytes(data[:1], "big") % len(TARGETS)](data[1:])


#: Words that the formats are made of, so that the fuzzer need not find them letter by letter.
WORDS = [
    *('"dataType"', '"metaData"', '"recordCollection"', '"body"', '"header"', '"agentSessionsData"', '"array"', '"long"', '"string"'),
    *('"com.liveperson.dataaccess.MetaData"', '"com.liveperson.dataaccess.AgentActivityData"', '"agentSessionId"', '"startTime"'),
    *(f'"{name}"' for name in events.WIRE),
    *('"eventId"', '"sessionId"', '"sequence"', '"agentUserName"', '"data"', '"source"', '"id"', '"specversion"', "null", "true", "1e400"),
    *("OAuth ", "realm=", "oauth_consumer_key=", "oauth_token=", "oauth_signature_method=", "HMAC-SHA256", "oauth_signature="),
    *("oauth_timestamp=", "oauth_nonce=", "oauth_version=", "%C3%A9", "%00", "Bearer "),
    *("bytes=", "Agent.", ".part-", ".gz", ".parquet", "for=", "q=0.5", "*/*", "application/xml", "application/x-ndjson", "charset=utf-8"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "2016-06-16T13:07:03.196+02:00", "Europe/Berlin", "::ffff:"),
]


def seeds(name: str) -> list[bytes]:
    """Inputs that a target takes: where the fuzzer begins."""
    from wire import SEED, many

    documents_ = [
        *SEED.values(),
        b"".join(SEED.values()),
        *(container.encode(many(2, 2), account="A", version=version) for version in SEED),
    ]
    event = b'{"agentID":9,"timestamp":1465992202047,"type":3,"userProfileIDs":[1,2],"agentUserName":"CR","sessionId":"a.b","sequence":1}'
    cloud = b'[{"specversion":"1.0","source":"/s","id":"1","type":"t","data":%b}]' % event
    named = event.replace(b"UserName", b"Username")[:-1] + b',"eventId":"e","agentEmployeeId":7}\n'
    header = oauth1.sign("GET", "http://a/b?c=d", Credentials("ck", "x", "tk", "y"), timestamp=NOW // 1000, nonce="n")
    found = {
        "decoder": [*documents_, *map(gzip.compress, documents_)],
        "packed_decoder": documents_,
        "events_in": [
            b"\0" + named * 2,
            *(
                bytes([index]) + sent
                for index, sent in enumerate(
                    {events.NDJSON: event, events.JSON: b"[%b]" % event, events.CLOUDEVENTS: cloud}[f] for f in events.FORMS
                )
            ),
        ],
        "body": [gzip.compress(event), gzip.compress(event) * 3, gzip.compress(b"\0" * 100_000)],
        "oauth_header": [header.encode(), b'OAuth realm="x", ' + header.encode()[6:]],
        "signed_url": [b"GET http://a:80/b%20c?x=%C3%A9&y&z=+", b"POST https://da.example.net/data_access_le/account/1/le?a=1&a=2"],
        "file_range": [b"\0\0\4\0\nbytes=0-5", b'\0\0\0\1\nbytes=-5\n"abc"\n"x", W/"abc"\nThu, 16 Jun 2016 13:07:03 GMT'],
        "part_name": [b"Agent.1461387600000.1461391200000.part-00001-0.gz", b"Agent.0.1.part-00000-12"],
        "cursor": [parameters.cursor(NOW, 5).encode()],
        "accept": [b"application/json;q=0.5, text/xml, */*;q=0.1", b"*"],
        "form": [b"application/x-ndjson; charset=utf-8\ngzip", b"application/json\n"],
        "forwarded": [b"198.51.100.7, 10.2.3.4:80", b'Ffor="[2001:db9::17]:4711";proto=https, for=unknown'],
        "time": [b"2026-03-01T08:00:00.5+01:00\n2026-03-02\nEurope/Berlin", b"2026-03-29\n2026-03-30", b"2026-03-29"],
        "page_cookie": [b"1.1790000000001." + b"a" * 32 + b"." + b"b" * 64, b"/day?from=2026-03-01"],
        "error_text": [b"found \xff \0 <&> \xc3\xa9", "\ud7ff\ue000\ufffe".encode()],
    }
    return [bytes([i]) + seed for i, of in enumerate(TARGETS) for seed in found[of]] if name == "every" else found[name]


def attempt(target: Callable[[bytes], None], data: bytes) -> None:
    """Run a target; what it may end in is no find."""
    from starlette.exceptions import HTTPException

    try:
        target(data)
    except (ShiftlogError, HTTPException):
        pass
    except gzip.BadGzipFile:  # Python's own, where ours has taken it: a difference worth knowing
        raise AssertionError("unpacked what Python's gzip refuses") from None
