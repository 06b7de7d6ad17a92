"""The tree of errors: what its docstring draws is what it is."""

from __future__ import annotations

import re

from shiftlog import errors
from shiftlog.errors import BadEvent, Later, ShiftlogError


def drawn() -> dict[str, str]:
    """Each class and its parent, by the indentation of the drawing."""
    found: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"    ([│ ]*[├└]── )?([A-Z]\w+)\b(?!:)", line):
            depth = len(match[1] or "") // 4
            above[depth] = match[2]
            if depth:
                found[match[2]] = above[depth - 1]
    return found


def tree(root: type[ShiftlogError]) -> dict[str, str]:
    return {child.__name__: root.__name__ for child in root.__subclasses__()} | {
        name: parent for child in root.__subclasses__() for name, parent in tree(child).items()
    }


def test_the_drawing_is_the_tree():
    """Every error stands in the drawing, below its parent."""
    assert drawn() == {name: parent for name, parent in tree(ShiftlogError).items() if hasattr(errors, name)}


def test_a_bad_event_says_all_of_it():
    """Place, field, what was found, what is allowed; without a field, of the whole."""
    assert str(BadEvent("line 2", "state", "9", "0 or 1")) == "line 2: state: found 9; allowed: 0 or 1"
    assert str(BadEvent("line 2", "", "[]", "one JSON object")) == "line 2: found []; allowed: one JSON object"


def test_later_may_say_when():
    """In seconds, where it is known."""
    assert (Later("busy").retry_after, Later("busy", 5).retry_after) == (None, 5)
