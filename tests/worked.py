"""The worked hour of docs/metrics.md: its events, and its numbers as that page has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scenes import HOUR, MINUTE, T0, event, login, logout

DOCS = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()


def minute(number: float, *, start: int = T0, **fields: Any) -> dict[str, Any]:
    """An event of an agent who is online and may have three chats, at a minute of the hour that begins at `start`."""
    timestamp = start + round(number * MINUTE)
    return event(timestamp, **{"state": 2, "maxConcurrentEng": 3, "agentGroupID": 7, "userProfileIDs": [5, 6], **fields})


def worked_hour(start: int = T0) -> list[dict[str, Any]]:
    """Section 4: login and Online at 0, Away from 50, logout at 60; chats A 0–20, B 10–30, C 10–25, D 48–55."""
    chats = ((0, 0), (0, 1), (10, 2), (10, 3), (20, 2), (25, 1), (30, 0), (48, 1))
    begun = login(start, maxConcurrentEng=-9, concurrentEng=0, agentGroupID=7, userProfileIDs=[5, 6])
    online = (minute(at, start=start, concurrentEng=c) for at, c in chats)
    away = (minute(at, start=start, state=4, concurrentEng=c) for at, c in ((50, 1), (55, 0)))
    return [begun, *online, *away, logout(start + HOUR, maxConcurrentEng=-9)]


def table(section: int, header: str) -> list[list[str]]:
    """The cells of a table of the definitions, by the number of its section and the beginning of its first line."""
    text = DOCS.split(f"\n## {section}. ")[1].split("\n## ")[0]
    lines = text[text.index(f"| {header} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|--")]


def numbers() -> dict[str, float]:
    """Every number of section 4 by its name: measures in ms, `chats_started` as a count, ratios exactly."""
    names, values = table(4, "login")
    minutes = {name: int(text.split()[0]) for name, text in zip(names, values, strict=True)}
    measures = {
        name if name == "chats_started" else f"{name}_ms": n * (1 if name == "chats_started" else MINUTE) for name, n in minutes.items()
    }
    names, values = table(4, "availability")
    terms = {name: re.match(r"(\d+)/(\d+) = ", text).groups() for name, text in zip(names, values, strict=True)}
    return measures | {name: int(above) / int(below) for name, (above, below) in terms.items()}
