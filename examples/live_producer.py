"""Send events to a server as they happen: those of a file of NDJSON, each at its own time, those of the past at once.

    python examples/live_producer.py PROFILE EVENTS.ndjson

PROFILE is a profile with a key that may write (`shiftlog keys create --permission write --profile …`). What was sent before is known
as a repeat, so it may be stopped and run again.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from shiftlog import Client

Event = dict[str, Any]


def as_they_happen(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Events in the order of their timestamps, in groups: each second's when it is over."""
    for second, group in itertools.groupby(events, lambda event: event["timestamp"] // 1000):
        time.sleep(max(0.0, second + 1 - time.time()))
        yield list(group)


def main(profile: str, file: str) -> None:
    with Path(file).open() as lines, Client(profile) as server:
        events = sorted(map(json.loads, lines), key=lambda event: event["timestamp"])
        now = time.time() * 1000
        server.post_events(event for event in events if event["timestamp"] <= now)
        for group in as_they_happen(event for event in events if event["timestamp"] > now):
            server.post_events(group)


if __name__ == "__main__":
    main(*sys.argv[1:])
