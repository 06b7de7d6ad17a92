"""The calendar of files: what is known of each hour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenes import HOUR, T0
from shiftlog.catalog.parts import Part
from shiftlog.server.pages.files import Completeness, completeness

PART = Part(1, T0, T0 + HOUR, 0, 0, T0 + 2 * HOUR, "1.0.0.4", "k", 1, "s", "t", 1, "s", 1, 0, 1, T0, T0, None, None, "", None, None, None)


@pytest.mark.parametrize(
    ("parts", "first", "watermark", "due_until", "what"),
    [
        ([PART], T0, T0 + HOUR, T0 + HOUR, Completeness.COMPLETE),
        ([PART, replace(PART, revision=1)], T0, T0 + HOUR, T0 + HOUR, Completeness.REVISED),
        ([replace(PART, gz_gone=T0 + 9 * HOUR)], T0, T0 + HOUR, T0 + HOUR, Completeness.DELETED),
        ([], T0 - HOUR, T0 + HOUR, T0 + HOUR, Completeness.EMPTY),
        ([], T0 + HOUR, T0 + HOUR, T0 + HOUR, Completeness.BEFORE),
        ([], None, T0 + HOUR, T0 + HOUR, Completeness.BEFORE),
        ([], T0 - HOUR, T0, T0 + HOUR, Completeness.MISSING),
        ([], T0 - HOUR, T0, T0, Completeness.AHEAD),
        ([], None, None, T0 + HOUR, Completeness.AHEAD),
    ],
)
def test_an_hour_is_one_of_seven_things(
    parts: list[Part], first: int | None, watermark: int | None, due_until: int, what: Completeness
) -> None:
    """Complete, revised, empty, deleted, missing, not due, or before all: nobody has to guess which."""
    [square] = completeness({T0: parts} if parts else {}, [T0], first, watermark, due_until)
    assert (square.what, square.parts) == (what, len(parts))
