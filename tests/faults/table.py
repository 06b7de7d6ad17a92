"""The faults that are tried, and what comes of them. `python tests/faults/table.py` writes the table of docs/reliability.md anew."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

FILES = 24  # in the lakes of the killed pulls
_MOVED = "shiftlog.client.writer:Path.replace"  # first the snapshots of a new lake and of its chain, then each file, then snapshots

#: name: what is killed, and the step (module:name), before or after it, at which call.
KILLS = {
    "ingest: before the object is written": ("land", "shiftlog.store.directory:Directory._write", "before", 3),
    "ingest: the object is written, not yet durable": ("land", "shiftlog.store.directory:Directory._write", "after", 3),
    "ingest: the object is durable, the catalog does not know": ("land", "shiftlog.store.directory:Directory.put", "after", 3),
    "ingest: in the catalog's transaction": ("land", "shiftlog.catalog.batches:commit", "after", 3),
    "ingest: committed, not acknowledged": ("land", "shiftlog.landing:Landing.accept", "after", 3),
    "publish: the lease is taken": ("publish", "shiftlog.catalog.publishing:acquire", "after", 1),
    "publish: sessions are folded": ("publish", "shiftlog.steps:fold", "after", 1),
    "publish: one part is half written": ("publish", "shiftlog.store.directory:Directory._write", "after", 3),
    "publish: all parts are written": ("publish", "shiftlog.catalog.publishing:commit", "before", 1),
    "publish: lists are held back": ("publish", "shiftlog.catalog.publishing:_insert_parts", "before", 1),
    "publish: in the commit, parts are in": ("publish", "shiftlog.catalog.publishing:_insert_parts", "after", 1),
    "publish: in the commit, all is in": ("publish", "shiftlog.catalog.publishing:_advance", "after", 1),
    "publish: committed, the lease not given back": ("publish", "shiftlog.catalog.publishing:commit", "after", 1),
    "retention: in the catalog's transaction": ("sweep", "shiftlog.catalog.sweeping:forget_session_ids", "after", 1),
    "retention: marked, the bytes still there": ("sweep", "shiftlog.store.objects:Objects.delete", "before", 1),
    "retention: expired bytes gone, unnamed ones not": ("sweep", "shiftlog.store.objects:Objects.delete", "after", 1),
}
#: The same of a pull into a new lake, and into one whose files revisions supersede.
NEW_LAKES = {
    "files are on their way": ("pull", "shiftlog.client.download:Download._tell", "after", 6),
    "some files are downloaded": ("pull", "shiftlog.client.download:Download.attempt", "after", 3),
    "some files are converted": ("pull", "shiftlog.client.convert:convert", "after", 3),
    "all files are converted": ("pull", "shiftlog.client.writer:Writer.add", "before", 1),
    "some files are in their places": ("pull", _MOVED, "after", 12),
    "all files are in their places": ("pull", "shiftlog.client.writer:Writer._commit", "before", 2),
    "the snapshot is half written": ("pull", _MOVED, "before", FILES + 3),
    "the snapshot is written, the checkpoint is not": ("pull", "shiftlog.client.writer:Writer.add", "after", 1),
    "the checkpoint is half written": ("pull", _MOVED, "before", FILES + 4),
    "the checkpoint is written": ("pull", "shiftlog.client.writer:Writer.advance", "after", 2),
}
OLD_LAKES = {
    "a superseded file is written again": ("pull", "shiftlog.client.convert:without", "after", 1),
    "superseded files lie beside those in their place": ("pull", "shiftlog.client.writer:Writer._remove", "before", 1),
}
_STOPS = "publishing stops and names it, and so does `shiftlog verify`; nothing of the account is published in part"
OUTCOMES = {
    **{f"killed (-9), {name}": "every acknowledged event is published once; the next start goes on by itself" for name in KILLS},
    **{f"killed (-9), pull: {name}": "the next pull makes the undisturbed lake, byte for byte" for name in {**NEW_LAKES, **OLD_LAKES}},
    "the disk is full": "events are refused (try again later), none is lost; with room again all goes on",
    "the disk is read-only at a start": "the start is refused; once it can be written, all that was acknowledged is there",
    "the disk of the objects turns read-only at work": "events are refused (try again later), none is lost; written again, it goes on",
    "the whole disk fails at work, every write with it": "all is refused (try again later), and not ready; mended, all is there",
    "a connection breaks in the body of events": "nothing of it is taken; sent again, every event is published once",
    "a connection breaks before the answer to events": "sent again, every event is published once",
    "a connection breaks in a download": "the next one gets the whole file",
    "the clock jumps an hour ahead": "every event is published once",
    "the clock jumps an hour back": "every event is published once; times only grow, new parts are listed once the clock has caught up",
    "a bit flips in a published file": "named by `shiftlog verify`; `pull` refuses the file, and takes the others",
    "a published file is torn": "never sent; named by `shiftlog verify`",
    "a bit flips in a twin": "named by `shiftlog verify`",
    "a page of the catalog rots (SQLite)": "named by `shiftlog doctor` or `verify --data`, and by what meets it; the last back-up goes on",
    "a bit flips in a lake's snapshot, or it is torn": "named by what reads it; a new lake has the same files",
    "a bit flips in a landing object, or it is torn": _STOPS,
    "a bit flips in carried sessions, or they are torn": _STOPS,
}


def table() -> str:
    """The table of the page."""
    return "\n".join(["| fault | outcome |", "|---|---|", *(f"| {fault} | {outcome} |" for fault, outcome in OUTCOMES.items())])


if __name__ == "__main__":
    page = PAGE.read_text()
    PAGE.write_text(re.sub(r"\| fault \| outcome \|\n(\|.*\n?)+", lambda _: table() + "\n", page))
