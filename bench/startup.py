"""How long until it does something: the command's help, and the import."""

from __future__ import annotations

import sys
from pathlib import Path

import data
from measure import Contestant, Question, Target, of

_HELP, _IMPORT, _NOTHING = "shiftlog --help", "import shiftlog", "python alone"

QUESTION = Question(
    title="Starting up",
    text="Whole processes, from start to end, files in the machine's cache.",
    data=lambda size: data.made("nothing", size, lambda _: {}),
    contestants=[
        Contestant(_HELP, command=lambda _: [str(Path(sys.executable).with_name("shiftlog")), "--help"]),
        Contestant(_IMPORT, command=lambda _: [sys.executable, "-c", "import shiftlog"]),
        Contestant(_NOTHING, command=lambda _: [sys.executable, "-c", "pass"]),
    ],
    targets=[
        Target("`shiftlog --help`", of(_HELP, "seconds"), most=0.3, unit="s"),
        Target("`import shiftlog`", of(_IMPORT, "seconds"), most=0.2, unit="s"),
    ],
    repetitions=15,
    warm=0,
)
