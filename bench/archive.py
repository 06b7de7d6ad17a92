"""The files of a window as one zip: put together from the stored gzip members, against copying them and against compressing again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import data
from measure import Contestant, Question, Scene, Target, Work, times

_PARTS, _EVENTS = 500, 500_000
_OURS, _COPY, _AGAIN = "shiftlog", "copying the members", "zipfile, compressing again"
_PIECE = 1 << 20


def _data(size: float) -> Path:
    return data.made("parts", size, lambda directory: _make(directory, max(1, round(_PARTS * size)), round(_EVENTS * size)))


def _make(directory: Path, parts: int, count: int) -> dict[str, float]:
    """So many parts, as the publisher makes them."""
    import polars as pl

    from shiftlog import container
    from shiftlog.events import ACCEPTED
    from shiftlog.sessions import fold, foldable

    events = data.events(count)
    landed = {"receivedAt": pl.col("timestamp"), "position": pl.int_range(pl.len(), dtype=pl.Int64)}
    folded = fold(foldable(events.with_columns(**landed).select(ACCEPTED.keys())), account=data.ACCOUNT, timeout=data.DAY)
    sessions = folded["agentSessionId"].rle_id()
    for number in range(parts):
        gz = container.compress(container.encode(folded.filter(sessions % parts == number), account=data.ACCOUNT))
        (directory / f"{number:05d}.gz").write_bytes(gz)
    return {"events": folded.height, "gz_mb": sum(path.stat().st_size for path in directory.glob("*.gz")) / 1e6}


def _ours(scene: Scene) -> Work:
    from dataclasses import fields

    from shiftlog.catalog.parts import Part
    from shiftlog.server.zips import Archive
    from shiftlog.store import open_store

    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(Part)), 0)
    store = open_store(str(scene.data))
    parts = [
        Part(
            **{
                **nothing,
                "scope_end": data.DAY,
                "part": number,
                "generated": data.DAY * 20_000,
                "gz_key": path.name,
                "gz_bytes": path.stat().st_size,
            }
        )
        for number, path in enumerate(_members(scene))
    ]

    def work() -> None:
        with (scene.scratch / "window.zip").open("wb") as target:
            for piece in Archive(store, parts).chunks():
                target.write(piece)

    return work


def _copied(scene: Scene) -> Work:
    members = _members(scene)

    def work() -> None:
        with (scene.scratch / "window").open("wb") as target:
            for path in members:
                target.write(path.read_bytes())

    return work


def _compressed_again(scene: Scene) -> Work:
    import gzip
    import zipfile

    members = _members(scene)

    def work() -> None:
        with zipfile.ZipFile(scene.scratch / "window.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            for path in members:
                target.writestr(f"{path.stem}.json", gzip.decompress(path.read_bytes()))

    return work


def _members(scene: Scene) -> list[Path]:
    return sorted(scene.data.glob("*.gz"))


QUESTION = Question(
    title="A window as one zip",
    text="500 parts with 500 000 events as one archive, written to a file, on one core. Nothing is compressed again, so it costs about "
    "what copying costs.",
    data=_data,
    contestants=(
        Contestant(_OURS, prepare=_ours, cores=1),
        Contestant(_COPY, prepare=_copied, cores=1),
        Contestant(_AGAIN, prepare=_compressed_again, cores=1),
    ),
    targets=(Target("quicker than compressing again with zipfile", times("seconds", _AGAIN, _OURS), least=10),),
)
