"""Processes that tests start, stop, and kill: `python workers.py publish|serve_batches …`.

publish DATA ACCOUNT NOW     publish once; prints `part` for each part as it is written, then `done N`
work DATA ACCOUNT BATCHES ACKS HOURS
                             accept the batches in BATCHES (Parquet, column `batch`) that ACKS does not name, appending each
                             number to ACKS once it is accepted; after each, publish up to that batch's instant in HOURS
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from shiftlog.errors import Overtaken
from shiftlog.events import SENT
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.lease import Worker
from shiftlog.publish import publish


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def publish_once(data: str, account: str, now: str) -> None:
    house = House.open(Path(data))
    with Worker(house) as worker:
        try:
            parts = publish(worker, account, now=int(now), on_part=lambda _: say("part"))
        except Overtaken as error:
            say(f"overtaken {error}")
            sys.exit(3)
    say(f"done {len(parts)}")


def work(data: str, account: str, batches: str, acks: str, every: str) -> None:
    house = House.open(Path(data))
    landing = Landing(house)
    done = {int(line) for line in Path(acks).read_text().split()}
    pieces = pl.read_parquet(batches).partition_by("batch", maintain_order=True)
    say("ready")
    with Path(acks).open("a") as log, Worker(house) as worker:
        for piece in pieces:
            number = piece["batch"][0]
            if number in done:
                continue
            landing.accept(account, piece.select(SENT.keys()))
            log.write(f"{number}\n")
            log.flush()
            if number % int(every) == 0:
                publish(worker, account, now=piece["arrivesAt"].max())
    say("done")


if __name__ == "__main__":
    {"publish": publish_once, "work": work}[sys.argv[1]](*sys.argv[2:])
