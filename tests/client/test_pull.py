"""Pulling: everything once, nothing twice, against both kinds of servers; and what is wrong is named, and mended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest

import shiftlog
from client.lakes import START, at, everything, globbed, name, packed, pulled, rows
from client.seed import SeedServer
from client.servers import hasty, lake_files, seed_client, shiftlog_client
from readers import all_parts, every_row, land, publish_at, standing
from scenes import DAY, HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog import lake
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.client import Client
from shiftlog.client.answers import ManifestPart
from shiftlog.client.convert import convert, fingerprint, taken
from shiftlog.client.pull import Progress, next_look
from shiftlog.client.verify import verify
from shiftlog.errors import Damaged, Invalid, Later, Unauthorized, Unusable
from shiftlog.events import FLAT, SENT
from shiftlog.hours import parse
from shiftlog.house import House
from shiftlog.retention import sweep
from shiftlog.simulate import simulate

NOW = START + 20 * DAY


@pytest.fixture
def client(house: House, keys: NewKey) -> Iterator[Client]:
    """A client of the house of the scene."""
    with shiftlog_client(house, keys) as client:
        yield client


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a lake may come to be."""
    return tmp_path / "lake"


def work(house: House, hour: int, agents: range = range(1, 4)) -> None:
    """One session of each agent in an hour, and the hour published."""
    start = T0 - 9 * DAY + hour * HOUR
    for agent in agents:
        who = {"agentID": agent}
        land(house, sent(login(start, **who), event(start + MINUTE, state=2, **who), logout(start + 2 * MINUTE, **who)))
    publish_at(house, start + 2 * HOUR)


def check(house: House, directory: Path) -> None:
    """The lake holds what a reader of all files keeps; by its snapshot, and by a plain glob."""
    expected = standing(every_row(house)).select(FLAT.keys()).sort("agentSessionId", "eventIndex")
    assert everything(directory).select(FLAT.keys()).equals(expected)
    assert globbed(directory).equals(everything(directory))


# ── shiftlog's server ──


def test_all_then_nothing_then_what_is_new(house: House, client: Client, directory: Path):
    """Three pulls."""
    for hour in range(3):
        work(house, hour)
    first, second = (pulled(client, directory) for _ in range(2))
    assert (first.new, first.skipped, first.events) == (3, 0, 27)
    assert (second.new, second.skipped) == (0, 0)
    work(house, 3)
    assert pulled(client, directory).new == 1
    check(house, directory)
    assert verify(directory, client, now=NOW).wrong == []


def test_late_events_change_the_lake_as_they_change_the_server(house: House, client: Client, directory: Path):
    """Numbers from the lake equal the server's, after corrections and withdrawals."""
    simulation = simulate("A", agents=12, days=3, start=parse("2026-03-01T00:00:00+01:00"), seed=4, late=0.1, repeat=0.05)
    arrivals = simulation.arrivals()
    size, rewritten = -(-arrivals.height // 6), 0
    for i in range(6):
        batch = arrivals.slice(i * size, size)
        land(house, batch.select(SENT.keys()))
        publish_at(house, batch["arrivesAt"].max())
        rewritten += pulled(client, directory).rewritten
        check(house, directory)
    publish_at(house, arrivals["arrivesAt"].max() + 3 * DAY)
    pulled(client, directory)
    assert rewritten > 0
    assert everything(directory).height == simulation.events.height
    window = {"start": "2026-03-01", "end": "2026-03-05", "tz": "Europe/Berlin", "every": "1h", "by": "group"}
    ours = shiftlog.open(directory).metrics(**window).collect()
    assert ours.height > 0
    assert ours.equals(shiftlog.open(house.directory).metrics(**window, until="watermark").collect())


def test_a_lake_knows_how_far_it_is_complete(house: House, client: Client, directory: Path):
    """To the server's watermark, as long as nothing has been published since the list was asked."""
    work(house, 0)
    assert pulled(client, directory).watermark == client.manifest().watermark == lake.read(directory).watermark


def test_published_files_are_kept_where_that_is_wanted(house: House, client: Client, directory: Path):
    """To the byte."""
    work(house, 0)
    pulled(client, directory, keep_raw=True)
    [kept], [part] = lake.read(directory).files, all_parts(house)
    assert (directory / kept.raw).read_bytes() == house.store.get(part.gz_key)
    assert list((directory / ".partial").iterdir()) == []


def test_since_leaves_out_what_is_older_and_can_be_moved_back(house: House, client: Client, directory: Path):
    """By generated time."""
    for hour in range(3):
        work(house, hour)
    generated = [part.generated for part in all_parts(house)]
    assert pulled(client, directory, since=generated[2]).new == 1
    assert verify(directory, client, now=NOW).wrong == []
    assert pulled(client, directory, since=generated[1]).new == 1
    assert pulled(client, directory, since=generated[2]).new == 0
    assert lake.read(directory).since == generated[1]
    assert verify(directory, client, now=NOW).wrong == []


def test_progress_is_told(house: House, client: Client, directory: Path):
    """How many files and bytes are to come, and as they come."""
    work(house, 0)
    work(house, 1)
    told: list[Any] = []

    class Told(Progress):
        def expect(self, files: int, size: int | None) -> None:
            told.append((files, size))

        def bytes(self, count: int) -> None:
            told.append(count)

        def files(self, count: int) -> None:
            told.append("file")

    pulled(client, directory, progress=Told())
    size = sum(part.gz_bytes for part in all_parts(house))
    assert told[0] == (2, size)
    assert sum(item for item in told[1:] if item != "file") == size
    assert told.count("file") == 2


def test_a_lake_is_the_same_to_the_byte_from_parquet(house: House, client: Client, directory: Path, tmp_path: Path):
    """After corrections; no `.gz` is asked for."""
    arrivals = simulate("A", agents=12, days=3, start=parse("2026-03-01T00:00:00+01:00"), seed=4, late=0.1, repeat=0.05).arrivals()
    quick, refusing = tmp_path / "quick", httpx.Response(500, text="asked for")
    for batch in arrivals.iter_slices(-(-arrivals.height // 6)):
        land(house, batch.select(SENT.keys()))
        publish_at(house, batch["arrivesAt"].max())
        pulled(client, directory)
        wrong = Wrong(client, {".gz": refusing})
        assert pulled(client, quick, parquet=True).failed == {}
        wrong.answers.clear()
    ours, theirs = lake.read(quick), lake.read(directory)
    assert (ours.files, ours.watermark, ours.sequence) == (theirs.files, theirs.watermark, theirs.sequence)
    assert any(kept.superseded for kept in ours.files)
    assert verify(quick, client, now=NOW).wrong == []


def test_both_forms_of_a_part_make_the_same_file(tmp_path: Path):
    """Withdrawn sessions are noted, and have no rows; a part with other counts than the manifest says is damaged."""
    frame, gz, parquet = rows(("1", 3), ("2", 0)), tmp_path / "gz", tmp_path / "parquet"
    gz.write_bytes(packed(frame))
    frame.with_columns(revision=pl.lit(0, pl.Int32), part=pl.lit(str(name()))).write_parquet(parquet)
    (size, checksum), (_, other) = fingerprint(gz), fingerprint(parquet)
    times = {"scope_start": START, "scope_end": START + HOUR, "generated": START + HOUR, "min_timestamp": START, "max_timestamp": START + 2}
    said = {"sequence": 1, "name": str(name()), "part": 0, "revision": 0, "schema_version": "1.0.0.4", "deleted": None, **times}
    proof = ManifestPart(**said, bytes=size, sha256=checksum, sessions=1, withdrawals=1, events=3, parquet_sha256=other)
    one = convert(name(), gz, tmp_path / "one", account="A", proof=proof)
    assert one == taken(name(), parquet, tmp_path / "other", account="A", proof=proof)
    assert one.withdrawn == ("A-2",)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    with pytest.raises(Damaged, match=r"holds \(1, 1, 3\)"):
        taken(name(), parquet, tmp_path / "other", account="A", proof=msgspec.structs.replace(proof, events=4))


def test_published_files_come_as_they_are_where_they_are_kept(house: House, client: Client, directory: Path):
    """Whatever else is asked for."""
    work(house, 0)
    Wrong(client, {".parquet": httpx.Response(500, text="asked for")})
    assert pulled(client, directory, keep_raw=True, parquet=True).new == 1
    assert verify(directory, client, now=NOW).wrong == []


# ── what can go wrong ──


class Wrong(httpx.BaseTransport):
    """Takes requests on, but for those whose path ends with a key of `answers`, which are answered by what it says."""

    def __init__(self, client: Client, answers: dict[str, Any]) -> None:
        self.inner, self.answers = client._http._transport, answers
        client._http._transport = self

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for end, answer in self.answers.items():
            if request.url.path.endswith(end):
                return answer(self.inner.handle_request(request)) if callable(answer) else answer
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


def corrupted(response: httpx.Response) -> httpx.Response:
    """The same length, and one byte in the middle is another."""
    data = bytearray(response.read())
    data[len(data) // 2] ^= 0xFF
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(bytes(data)))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (corrupted, "the manifest says"),
        (lambda response: httpx.Response(200, stream=httpx.ByteStream(response.read()[:-5])), "the manifest says"),
        (httpx.Response(200, html="<p>Please log in</p>"), "Please log in"),
        (httpx.Response(503, text="busy"), "busy"),
        (httpx.Response(404, json={"error": {"message": "not here"}}), "not here"),
    ],
)
def test_one_bad_file_does_not_hold_up_the_others(house: House, client: Client, directory: Path, answer: Any, said: str):
    """It is named, the checkpoint stays, and the next pull completes the lake."""
    for hour in range(3):
        work(house, hour)
    bad = str(all_parts(house)[1].name)
    wrong = Wrong(client, {f"{bad}.gz": answer})
    summary = pulled(client, directory)
    assert (summary.new, list(summary.failed)) == (2, [bad])
    assert said in summary.failed[bad]
    assert lake.read(directory).cursor is None
    wrong.answers.clear()
    assert pulled(client, directory).new == 1
    check(house, directory)
    assert verify(directory, client, now=NOW).wrong == []


@pytest.mark.parametrize("answer", [corrupted, httpx.Response(404, json={"error": {"message": "not here"}})])
def test_the_published_file_is_taken_where_the_parquet_is_not_as_it_should_be(house: House, client: Client, directory: Path, answer: Any):
    """The manifest says how it should be."""
    work(house, 0)
    Wrong(client, {".parquet": answer})
    assert pulled(client, directory, parquet=True).new == 1
    check(house, directory)
    assert verify(directory, client, now=NOW).wrong == []
    assert list((directory / ".partial").iterdir()) == []


def test_a_server_that_cannot_be_reached_is_left_in_peace(house: House, client: Client, directory: Path):
    """After some files in vain, not after all of them; what came stays."""
    for hour in range(6):
        work(house, hour)
    Wrong(client, {".gz": httpx.Response(503, text="busy")})
    with pytest.raises(Later, match="busy"):
        pulled(client, directory)
    assert lake.read(directory).files == ()


def test_a_key_that_is_revoked_meanwhile_ends_the_pull(
    house: House, keys: NewKey, client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch
):
    """With what the server says; a good key completes the lake."""
    work(house, 0)
    monkeypatch.setattr("shiftlog.server.identity._REMEMBERED", 0)

    def revoke(response: httpx.Response) -> httpx.Response:
        with house.catalog.write() as conn:
            catalog_keys.revoke(conn, keys.token, house.catalog.now())
        return response

    Wrong(client, {"/manifest": revoke})
    with pytest.raises(Unauthorized, match="revoked"):
        pulled(client, directory)
    with house.catalog.write() as conn:
        key = catalog_keys.create(conn, house.vault, "A", ["read"], house.catalog.now())
    with shiftlog_client(house, key) as other:
        assert pulled(other, directory).new == 1


def test_a_file_that_is_deleted_between_list_and_download_is_gone(house: House, client: Client, directory: Path):
    """Nobody can have it; the lake is as complete as it can be, and says so."""
    work(house, 0)
    work(house, 1)
    deleted = all_parts(house)[0]

    def delete(response: httpx.Response) -> httpx.Response:
        for part in all_parts(house):
            if part.seq == deleted.seq and part.gz_gone is None:
                sweep(at(house, part.generated + 31 * DAY))
        return response

    Wrong(client, {"/manifest": delete})
    summary = pulled(client, directory)
    assert (summary.new, summary.gone, summary.failed) == (0, 2, {})
    report = verify(directory, client, now=NOW)
    assert (report.wrong, report.remarks) == ([], ["2 files were deleted on the server before this lake could have them"])


def test_a_full_disk_is_said_and_the_next_pull_goes_on(house: House, client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch):
    """What was downloaded is not downloaded again."""
    import errno

    work(house, 0)

    def full(frame: pl.DataFrame, target: Path) -> Any:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shiftlog.client.convert.write", full)
        with pytest.raises(Unusable, match=r"cannot be written: No space left on device; the next pull goes on"):
            pulled(client, directory)
    Wrong(client, {".gz": httpx.Response(503)})
    assert pulled(client, directory).new == 1
    assert list((directory / ".partial").iterdir()) == []


def test_as_many_files_are_converted_at_once_as_there_are_processors(
    house: House, client: Client, directory: Path, monkeypatch: pytest.MonkeyPatch
):
    """So many parts are in memory, however many downloads there are side by side."""
    for hour in range(6):
        work(house, hour)
    both, lock, at_work = threading.Barrier(2, timeout=60), threading.Lock(), [0, 0]

    def counted(*given: Any, **more: Any) -> Any:
        with lock:
            at_work[0] += 1
            at_work[1] = max(at_work)
        both.wait()  # for ever, if there were one only
        try:
            return convert(*given, **more)
        finally:
            with lock:
                at_work[0] -= 1

    monkeypatch.setattr("shiftlog.client.pull.os.cpu_count", lambda: 2)
    monkeypatch.setattr("shiftlog.client.convert.convert", counted)
    assert pulled(client, directory, jobs=6).new == 6
    assert at_work == [0, 2]
    check(house, directory)


def test_another_accounts_lake_is_refused(house: House, client: Client, directory: Path):
    """Before anything is asked."""
    directory.mkdir()
    lake.write(directory, lake.Snapshot(account="B"))
    with pytest.raises(Invalid, match="the lake of account B, not of A"):
        pulled(client, directory)


# ── repairing ──


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("keep_raw", [False, True])
def test_what_is_wrong_is_named_and_repaired(house: House, client: Client, directory: Path, keep_raw: bool):
    """A damaged file, one that is missing, and one that is not of the lake any more; to the byte."""
    for hour in range(4):
        work(house, hour)
    land(house, sent(event(T0 - 9 * DAY + 90_000, agentID=2, state=3)))
    publish_at(house, T0)
    pulled(client, directory, keep_raw=keep_raw)
    before, files = lake_files(directory), lake.read(directory).files
    assert files[0].superseded == 1
    damage(directory / files[0].path)
    (directory / files[2].path).unlink()
    left = (directory / files[1].path).with_name(f"{files[1].name}.minus-7.parquet")
    left.write_bytes(b"left")
    report = verify(directory, client, now=NOW)
    assert [item.name for item in report.wrong] == [files[0].name, files[2].name, ""]
    assert pulled(client, directory).new == 0
    summary = pulled(client, directory, repair=True)
    assert (summary.repaired, summary.new, summary.failed) == (2, 0, {})
    assert lake_files(directory) == before
    assert lake.read(directory).files == files
    assert verify(directory, client, now=NOW).wrong == []


def test_a_part_that_the_lake_has_lost_is_fetched_again(house: House, client: Client, directory: Path):
    """Verify names the hour that is not whole."""
    work(house, 0)
    work(house, 1)
    pulled(client, directory)
    before, snapshot = lake_files(directory), lake.read(directory)
    (directory / snapshot.files[0].path).unlink()
    lake.write(directory, msgspec.structs.replace(snapshot, files=snapshot.files[1:]))
    [wrong] = verify(directory, client, now=NOW).wrong
    assert "the hour 2026-09-12T00:00:00+00:00 is not whole" in wrong.problem
    assert pulled(client, directory, repair=True).repaired == 1
    assert lake_files(directory) == before


def test_what_cannot_be_repaired_is_said(house: House, client: Client, directory: Path):
    """The server has deleted it; with the published file in the lake it can be."""
    work(house, 0)
    for kept in ("raw", "not"):
        pulled(client, directory / kept, keep_raw=kept == "raw")
        damage(directory / kept / lake.read(directory / kept).files[0].path)
    sweep(at(house, house.catalog.now() + 31 * DAY))
    assert pulled(client, directory / "raw", repair=True).repaired == 1
    summary = pulled(client, directory / "not", repair=True)
    assert "its retention ended" in next(iter(summary.failed.values()))


# ── the seed's three resources ──


@pytest.fixture
def seed(tmp_path: Path) -> SeedServer:
    return SeedServer(tmp_path / "published")


@pytest.mark.parametrize("version", ["1.0.0.4", "1.0.0.35"])
def test_a_server_with_the_seeds_resources_only(seed: SeedServer, tmp_path: Path, version: str):
    """Everything once; files that appear late are found by looking back."""
    directory = tmp_path / "lake"
    for hour in range(5):
        seed.add(str(name(hour=hour)), packed(rows((f"{hour}", 2), (f"{hour}0", 1)), version), START + (hour + 1) * HOUR)
    with seed_client(seed) as client:
        first = pulled(client, directory, now=START + 6 * HOUR)
        assert (first.new, first.skipped, first.events, first.watermark) == (5, 0, 15, None)
        assert pulled(client, directory, now=START + 6 * HOUR).new == 0
        seed.add(str(name(hour=5)), packed(rows(("5", 4)), version), START + 5 * HOUR)
        third = pulled(client, directory, now=START + 7 * HOUR)
        assert third.new == 1
        assert third.skipped > 0
        assert verify(directory, client, now=START + 8 * HOUR).wrong == []
    assert everything(directory)["agentSessionId"].n_unique() == 11
    assert {path.partition("?")[0].rpartition("/le")[2].partition(".")[0] for path in seed.asked} == {
        "/agentActivity",
        "/agentActivity/Agent",
    }


def test_two_weeks_are_asked_in_windows(seed: SeedServer, tmp_path: Path):
    """Of 7 days at most, and only what is not too old to be there."""
    for day in range(0, 14, 3):
        seed.add(str(name(hour=24 * day)), packed(rows((f"{day}", 2))), START + day * DAY + 2 * HOUR)
    with seed_client(seed) as client:
        assert pulled(client, tmp_path / "lake", now=START + 14 * DAY, since=START).new == 5
        report = verify(tmp_path / "lake", client, now=START + 14 * DAY)
    assert report.wrong == []
    assert "no manifest" in report.remarks[0]


def test_a_file_the_lake_lacks_is_named_by_its_list(seed: SeedServer, tmp_path: Path):
    """Such a server has nothing else to compare with."""
    seed.add(str(name()), packed(rows(("1", 2))), START + HOUR)
    with seed_client(seed) as client:
        pulled(client, tmp_path / "lake", now=START + 2 * HOUR)
        seed.add(str(name(part=1)), packed(rows(("2", 2))), START + HOUR)
        [wrong] = verify(tmp_path / "lake", client, now=START + 3 * HOUR).wrong
    assert wrong.name == str(name(part=1))


@pytest.mark.parametrize("harm", [lambda gz: gz[:-9], lambda gz: gz[:20] + b"\0\0\0" + gz[23:], lambda gz: b"<html>", lambda gz: gz + b"x"])
def test_a_corrupt_file_is_found_without_a_checksum(seed: SeedServer, tmp_path: Path, harm: Any):
    """By the gzip's own and by decoding all of it; once it is right, the lake is."""
    gz = packed(rows(("1", 2), ("2", 9)))
    seed.add(str(name()), harm(gz), START + HOUR)
    with seed_client(seed) as client:
        assert list(pulled(client, tmp_path / "lake", now=START + 2 * HOUR).failed) == [str(name())]
        seed.add(str(name()), gz, START + HOUR)
        assert pulled(client, tmp_path / "lake", now=START + 2 * HOUR).new == 1


def test_a_file_that_such_a_server_deletes_meanwhile_is_gone(seed: SeedServer, tmp_path: Path):
    """Listed, not found, and not listed any more."""
    for part in range(2):
        seed.add(str(name(part=part)), packed(rows((f"{part}", 2))), START + HOUR)
    with seed_client(seed, hasty()) as client:
        listed = client.list

        def list_and_delete(*window: int) -> Any:
            found = listed(*window)
            if found.files and (seed.directory / f"{name()}.gz").exists():
                seed.remove(str(name()))
            return found

        client.list = list_and_delete
        summary = pulled(client, tmp_path / "lake", now=START + 3 * HOUR)
    assert (summary.new, summary.gone, summary.failed) == (1, 1, {})


# ── watching ──


def test_the_next_look_is_when_the_next_hour_has_been_published():
    """Six minutes after its end."""
    assert [next_look(START + minute * MINUTE) - START for minute in (0, 5, 6, 59)] == [6 * MINUTE, 6 * MINUTE, 66 * MINUTE, 66 * MINUTE]
