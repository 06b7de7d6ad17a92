"""A part of 100 KB and one of 50 MB, each request signed: against the same bytes as files that nginx sends."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import ACCOUNT, YEAR_BEGINS, deployment, made
from measure import Contestant, Question, Scene, Target, Work, times
from server import serve, static

if TYPE_CHECKING:
    import polars as pl

    from shiftlog.oauth1 import Credentials

_SMALL, _LARGE = 100_000, 50_000_000
_SENDERS, _REQUESTS, _LARGE_REQUESTS = 4, 2_000, 40
_OURS, _OURS_RANGE, _NGINX, _NGINX_RANGE = "shiftlog", "shiftlog, Range", "nginx", "nginx, Range"
_HOUR = 3_600_000
_PIECE = 1 << 20


# ── the data ──


def _data(size: float) -> Path:
    return made("files", size, lambda directory: _make(directory, [_SMALL, max(_SMALL, round(_LARGE * size))]))


def _make(directory: Path, sizes: list[int]) -> dict[str, float]:
    """A data directory with parts of these sizes; what they say does not matter here, but that it cannot be compressed."""
    from hashlib import sha256
    from random import Random

    from shiftlog.catalog import publishing
    from shiftlog.catalog.parts import NewPart
    from shiftlog.catalog.publishing import Lease, Outcome

    with deployment(directory / "data", create=True) as house:
        parts = []
        for number, size in enumerate(sizes):
            content = Random(number).randbytes(size)
            key, digest, start = f"parts/{ACCOUNT}/{number}.gz", sha256(content).hexdigest(), YEAR_BEGINS + number * _HOUR
            house.store.put(key, content)
            sums = {"gz_bytes": size, "twin_bytes": size, "gz_sha256": digest, "twin_sha256": digest}
            counts = {"sessions": 60, "withdrawals": 0, "events": 2_400, "min_timestamp": start, "max_timestamp": start + _HOUR}
            scope = {"scope_start": start, "scope_end": start + _HOUR, "part": 0, "revision": 0}
            parts.append(NewPart(**scope, schema_version="1.0.0.4", gz_key=key, twin_key=key, **sums, **counts))
        lease = publishing.acquire(house.catalog, ACCOUNT, "bench", 60_000, lambda _: True)
        with house.catalog.read() as conn:
            base = publishing.state(conn, ACCOUNT)
        now = house.catalog.now()
        if not isinstance(lease, Lease):
            raise RuntimeError("another process holds the lease")
        publishing.commit(
            house.catalog, house.vault, lease, base, Outcome(now, now, parts[-1].scope_end, 0, None, 0, 0, parts, {}, 0, None, 0), 0
        )
        publishing.release(house.catalog, lease)
    return {"small_kb": sizes[0] / 1e3, "large_mb": sizes[1] / 1e6}


# ── the servers ──


def _ours(scene: Scene, *, ranged: bool) -> Work:
    shutil.copytree(scene.data / "data", scene.scratch / "data")
    credentials, names = _known(scene.scratch / "data")
    paths = [f"/data_access_le/account/{ACCOUNT}/le/agentActivity/{name}.gz" for name, _ in names]
    return _asking(serve(scene.scratch / "data"), paths, credentials, ranged=ranged)


def _nginx(scene: Scene, *, ranged: bool) -> Work:
    shutil.copytree(scene.data / "data", scene.scratch / "data")
    credentials, names = _known(scene.scratch / "data")
    port = static(scene.scratch / "data" / "objects", scene.scratch)
    return _asking(port, [f"/{key}" for _, key in names], credentials, ranged=ranged)


def _known(directory: Path) -> tuple[Credentials, list[tuple[str, str]]]:
    """A new key's credentials, and every part's name and key in the store."""
    from shiftlog.catalog import keys, parts
    from shiftlog.oauth1 import Credentials

    with deployment(directory) as house, house.catalog.write() as conn:
        key = keys.create(conn, house.vault, ACCOUNT, ["read"], house.catalog.now())
        found = parts.listing(conn, ACCOUNT, now=house.catalog.now(conn) + _HOUR).parts
    return Credentials(key.consumer_key, key.consumer_secret, key.token, key.token_secret), [(str(p.name), p.gz_key) for p in found]


# ── those who ask ──


def _asking(port: int, paths: list[str], credentials: Credentials, *, ranged: bool) -> Work:
    """Both files from several senders at once: how long all requests of each took, and what each holds."""
    from shiftlog import oauth1

    connections = [HTTPConnection("127.0.0.1", port) for _ in range(_SENDERS)]

    @contextmanager
    def asked(connection: HTTPConnection, path: str) -> Iterator[HTTPResponse]:
        """The same request to both servers, signed anew; nginx does not look at the signature."""
        url = f"http://127.0.0.1:{port}{path}"
        signed = oauth1.sign("GET", url, credentials, timestamp=int(time.time()), nonce=oauth1.nonce())
        connection.request("GET", path, headers={"Authorization": signed, **({"Range": "bytes=1-"} if ranged else {})})
        answer = connection.getresponse()
        if answer.status != (206 if ranged else 200):
            raise RuntimeError(f"{path} was answered by {answer.status}: {answer.read()[:200]!r}")
        yield answer

    def digest(path: str) -> tuple[int, str]:
        """Length and hash of all but the first byte."""
        from hashlib import sha256

        with asked(connections[0], path) as answer:
            body = memoryview(answer.read())[0 if ranged else 1 :]
        return len(body), sha256(body).hexdigest()

    digests = [digest(path) for path in paths]

    def take(connection: HTTPConnection, path: str, count: int, taken: list[int]) -> None:
        buffer = bytearray(_PIECE)
        for _ in range(count):
            with asked(connection, path) as answer:
                size = 0
                while found := answer.readinto(buffer):
                    size += found
            taken.append(size)

    def all_of(path: str, count: int) -> tuple[float, int]:
        taken = list[int]()
        each = count // _SENDERS
        start = time.perf_counter()
        _together([lambda one=one: take(one, path, each, taken) for one in connections])  # type: ignore[misc]
        seconds = time.perf_counter() - start
        if len(taken) != each * _SENDERS:
            raise RuntimeError(f"{each * _SENDERS - len(taken)} of {count} requests for {path} were not answered")
        return seconds, sum(taken)

    all_of(paths[0], 20 * _SENDERS)
    return lambda: (all_of(paths[0], _REQUESTS), all_of(paths[1], _LARGE_REQUESTS), digests)


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _rates(took: Any, _: Scene) -> Mapping[str, float]:
    (small, _small_bytes), (large, large_bytes), _digests = took
    return {"small_per_s": _REQUESTS / small, "large_mb_s": large_bytes / large / 1e6}


def _content(took: Any, _: Scene) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(took[2], schema=["bytes", "sha256"], orient="row")


QUESTION = Question(
    title="Downloads",
    text=f"A part of 100 KB {_REQUESTS} times, and one of 50 MB {_LARGE_REQUESTS} times, by {_SENDERS} connections at once, whole and with "
    "`Range: bytes=1-`, from a `shiftlog serve` and from an nginx with sendfile. Every request is signed by OAuth 1.0a; ours checks the "
    "signature, keeps the nonce and the audit line on disk before it answers, and nginx does not look. Those who ask share the machine "
    "with the server. All bytes are compared. `small_per_s` are requests a second for 100 KB, `large_mb_s` the MB a second of 50 MB.",
    data=_data,
    contestants=[
        Contestant(_OURS, lambda scene: _ours(scene, ranged=False), outcome=_content, figures=_rates),
        Contestant(_OURS_RANGE, lambda scene: _ours(scene, ranged=True), outcome=_content, figures=_rates),
        Contestant(_NGINX, lambda scene: _nginx(scene, ranged=False), outcome=_content, figures=_rates, needs="nginx"),
        Contestant(_NGINX_RANGE, lambda scene: _nginx(scene, ranged=True), outcome=_content, figures=_rates, needs="nginx"),
    ],
    targets=[
        Target(
            "requests a second for 100 KB, times nginx's",
            times("small_per_s", _OURS, _NGINX),
            least=0.5,
            missed="a request takes about 1.4 ms of the processor, where it took 3: 0.55 in the event loop, 0.4 for the question for the "
            "part, 0.4 for the one commit of nonce and audit line, which it shares with those that ask at the same time, and 0.1 in the "
            "server. In the event loop the signature is a sixth, the line of the log and the numbers another, handing the file to the "
            "server and the audit line to its thread another each. Done: past the framework's routing, statements made once, one commit "
            "in place of two, threads of our own. Tried: small files sent by Python and not by the server, which gains nothing; uvloop, "
            "which takes about 15 % less of the processor and is another dependency. Not tried: several processes; keeping answers, which "
            "would help only those who ask for the same file twice.",
        ),
        Target(
            "MB a second of 50 MB, times nginx's",
            times("large_mb_s", _OURS, _NGINX),
            least=0.9,
            missed="the server reads the file and writes it to the connection, beside Python and not through it; nginx leaves "
            "both to the kernel. On a machine that was busy with other things it was 0.89, because nginx was slower there: ours has been "
            "at 1 700 MB a second on both.",
        ),
        Target(
            "MB a second of 50 MB by Range, times nginx's",
            times("large_mb_s", _OURS_RANGE, _NGINX_RANGE),
            least=0.9,
            missed="ASGI has no message for a part of a file (pathsend sends the whole), so that a range is read by a thread and goes "
            "through the event loop, a MiB at a time, the next one read while one is sent. It was 1 070 MB a second without that, when "
            "nginx was slower as well. Pieces of 128 KiB to 4 MiB are no quicker.",
        ),
        Target(
            "requests a second for 100 KB by Range, times those for the whole",
            times("small_per_s", _OURS_RANGE, _OURS),
            least=0.9,
            missed="the file is read into Python, in the thread that looks for the part. In a thread of its own it was 0.88.",
        ),
    ],
    repetitions=5,
    warm=0,
)
