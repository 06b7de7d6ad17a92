"""The lake's writer: a session is there once, as it stands, in whatever order its revisions come."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.lakes import everything, globbed, name, packed, rows
from client.servers import lake_files
from readers import standing
from shiftlog import lake
from shiftlog.client.answers import ManifestPart
from shiftlog.client.writer import Staged, Writer, held
from shiftlog.errors import Damaged, Invalid, Later, Unusable
from shiftlog.names import PartName


def staged(writer: Writer, name: PartName, frame: pl.DataFrame, proof: ManifestPart | None = None) -> Staged:
    gz = writer.partial / f"{name}..partial"
    gz.write_bytes(packed(frame))
    return writer.stage(name, gz, proof)


def add(directory: Path, *parts: tuple[PartName, pl.DataFrame], keep_raw: bool = False) -> int:
    """Add parts together; returns how many others were written again."""
    with held(directory, "A") as writer:
        return writer.add([staged(writer, *part) for part in parts], keep_raw=keep_raw)


def paths(directory: Path) -> list[str]:
    return [Path(kept.path).name for kept in lake.read(directory).files]


def test_a_part_becomes_a_file(tmp_path: Path):
    """With the events of its sessions, in the directory of its day, and with the published file where that is wanted."""
    add(tmp_path, (name(), rows(("1", 2), ("2", 3))), keep_raw=True)
    [kept] = lake.read(tmp_path).files
    assert (kept.path, kept.raw) == (
        f"events/account=A/date=2026-09-21/{name()}.parquet",
        f"raw/account=A/date=2026-09-21/{name()}.gz",
    )
    assert (kept.sessions, kept.events, kept.source.bytes) == (2, 5, (tmp_path / kept.raw).stat().st_size)
    found = everything(tmp_path)
    assert dict(found.schema) == lake.SCHEMA
    assert found.select("revision", "part").unique().row(0) == (0, str(name()))
    assert found.equals(globbed(tmp_path))


def test_a_revision_supersedes_sessions(tmp_path: Path):
    """The file before it is written again without them, under another name."""
    add(tmp_path, (name(), rows(("1", 2), ("2", 3), ("3", 1))))
    assert add(tmp_path, (name(1), rows(("2", 4)))) == 1
    assert paths(tmp_path) == [f"{name()}.minus-1.parquet", f"{name(1)}.parquet"]
    assert everything(tmp_path).group_by("agentSessionId").len().sort("agentSessionId").rows() == [("A-1", 2), ("A-2", 4), ("A-3", 1)]
    assert globbed(tmp_path).equals(everything(tmp_path))


def test_a_withdrawal_takes_a_session_away(tmp_path: Path):
    """Also from a file that comes later."""
    add(tmp_path, (name(1), rows(("1", 0))))
    assert everything(tmp_path).is_empty()
    add(tmp_path, (name(), rows(("1", 2))))
    assert everything(tmp_path).is_empty()
    assert paths(tmp_path) == [f"{name()}.minus-1.parquet", f"{name(1)}.parquet"]


def test_parts_of_other_hours_are_left_alone(tmp_path: Path):
    """A session keeps its hour."""
    add(tmp_path, (name(), rows(("1", 2))), (name(part=1), rows(("2", 1))))
    assert add(tmp_path, (name(1, hour=1), rows(("1", 4)))) == 0


revisions = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), min_size=1)), min_size=1, max_size=6
)


@settings(max_examples=40, deadline=None)
@given(revisions, st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_order_gives_the_same_lake(made: list[tuple[int, dict[str, int]]], random: Any, size: int):
    """To the byte; and its rows are those of a reader that keeps the highest revision of each session."""
    parts = [(name(revision, part=part), rows(*sorted(sessions.items()))) for part, (revision, sessions) in enumerate(made)]
    with tempfile.TemporaryDirectory() as directory:
        one, other = Path(directory, "one"), Path(directory, "other")
        add(one, *parts)
        random.shuffle(parts)
        for start in range(0, len(parts), size):
            add(other, *parts[start : start + size])
            assert everything(other).equals(globbed(other))
        assert lake_files(one) == lake_files(other)
        assert lake.read(one).files == lake.read(other).files
        stated = [frame.with_columns(revision=pl.lit(part.revision, pl.Int32), part=pl.lit(str(part))) for part, frame in parts]
        expected = standing(pl.concat(stated)).select(lake.SCHEMA.keys())
        assert everything(one).sort("part", "agentSessionId", "eventIndex").equals(expected.sort("part", "agentSessionId", "eventIndex"))


# ── what is refused ──


def test_a_file_of_another_account_is_refused(tmp_path: Path):
    """A server that mixes up accounts must not mix up lakes."""
    gz = tmp_path / "x.gz"
    gz.write_bytes(packed(rows(("1", 1), account="B"), account="B"))
    with held(tmp_path / "lake", "A") as writer, pytest.raises(Damaged, match="sessions of account B, not of A"):
        writer.stage(name(), gz, None)


def manifest_part(**fields: Any) -> ManifestPart:
    whole = {"sequence": 1, "name": str(name()), "scopeStart": 0, "scopeEnd": 1, "part": 0, "revision": 0, "generated": 0}
    counts = {
        "schemaVersion": "1.0.0.4",
        "sessions": 1,
        "withdrawals": 0,
        "events": 2,
        "minTimestamp": 0,
        "maxTimestamp": 0,
        "deleted": None,
    }
    return msgspec.convert({**whole, **counts, **fields}, ManifestPart)


def test_a_file_that_is_not_as_the_manifest_says_is_refused(tmp_path: Path):
    """Its bytes, or what they hold."""
    from hashlib import sha256

    gz = packed(rows(("1", 2)))
    with held(tmp_path, "A") as writer:
        with pytest.raises(Damaged, match=f"found {len(gz)} bytes with SHA-256 {sha256(gz).hexdigest()}; the manifest says"):
            staged(writer, name(), rows(("1", 2)), manifest_part(bytes=len(gz), sha256="0" * 64))
        proof = manifest_part(bytes=len(gz), sha256=sha256(gz).hexdigest(), events=3)
        with pytest.raises(Damaged, match=r"holds \(1, 0, 2\) sessions, withdrawals and events; the manifest says \(1, 0, 3\)"):
            staged(writer, name(), rows(("1", 2)), proof)


def test_a_directory_with_other_things_in_it_is_no_lake(tmp_path: Path):
    """What lies there could be taken for a leftover."""
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(Invalid, match=r"not empty \(it has thesis.txt\)"):
        add(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_another_accounts_lake_is_refused(tmp_path: Path):
    """Nothing of it changes."""
    add(tmp_path, (name(), rows(("1", 2))))
    before = lake_files(tmp_path)
    with pytest.raises(Invalid, match="the lake of account A, not of B"), held(tmp_path, "B"):
        raise AssertionError
    assert lake_files(tmp_path) == before


def test_a_newer_layout_is_refused(tmp_path: Path):
    """Whatever else it has."""
    (tmp_path / lake.SNAPSHOT).write_text('{"layout": 2, "files": "elsewhere"}')
    with pytest.raises(Unusable, match="layout 2; this shiftlog knows up to 1"):
        add(tmp_path)


def test_a_snapshot_that_was_cut_is_damaged(tmp_path: Path):
    """A lake is not taken for an empty one."""
    add(tmp_path, (name(), rows(("1", 2))))
    snapshot = tmp_path / lake.SNAPSHOT
    snapshot.write_bytes(snapshot.read_bytes()[:100])
    with pytest.raises(Damaged, match="is not what was written"):
        add(tmp_path)


def _hold(directory: Path, ready: Any) -> None:
    with held(directory, "A"):
        ready.send("held")
        ready.recv()


def test_one_pull_at_a_time(tmp_path: Path):
    """The second is told, and which process has the lake; when that dies the lake is free."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path, theirs))
    process.start()
    assert ours.poll(30)
    with pytest.raises(Later, match=rf"another pull or verify is at work .* \(process {process.pid}\)"):
        add(tmp_path)
    process.kill()
    process.join()
    add(tmp_path, (name(), rows(("1", 1))))


def test_leftovers_are_removed_and_other_files_are_not(tmp_path: Path):
    """A killed pull leaves files that no snapshot names; what somebody else put there stays."""
    add(tmp_path, (name(), rows(("1", 2))), keep_raw=True)
    before = lake_files(tmp_path)
    events, raw = (tmp_path / f"{kind}/account=A/date=2026-09-21" for kind in ("events", "raw"))
    for leftover in (events / f"{name(1)}.parquet", events / f"{name()}.minus-1.parquet", raw / f"{name(1)}.gz"):
        leftover.write_bytes(b"half")
    (events / "mine.parquet").write_bytes(b"mine")
    with held(tmp_path, "A"):
        pass
    assert lake_files(tmp_path).keys() == before.keys() | {"events/account=A/date=2026-09-21/mine.parquet"}
