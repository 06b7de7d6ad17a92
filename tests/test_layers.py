"""The house is as CONTRIBUTING.md draws it: every module stands there, and imports go down only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "shiftlog"


def drawn() -> list[str]:
    """The modules and packages of the drawing, in its order, without suffixes."""
    picture = (ROOT / "CONTRIBUTING.md").read_text().split("src/shiftlog/", 1)[1].split("```", 1)[0]
    return re.findall(r"^[├└]── (\w+)", picture, re.MULTILINE)


def imports(tree: ast.Module) -> Iterator[str]:
    """The modules of shiftlog that a file imports when it is imported itself."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("shiftlog."))
        elif isinstance(node, ast.ImportFrom) and node.module == "shiftlog":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shiftlog."):
            yield str(node.module).split(".")[1]


def inner_imports() -> Iterator[tuple[str, str]]:
    """Which module or package imports which other."""
    for path in sorted(SOURCE.rglob("*.py")):
        here = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        yield from ((here, other) for other in imports(ast.parse(path.read_text())) if other != here)


def test_every_module_is_in_the_drawing():
    """A newcomer finds each thing where the house says it is, and the house says nothing that is not there."""
    there = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert sorted(drawn()) == sorted(there)


def test_imports_go_down_only():
    """A module imports what stands above it in the drawing, which reads from the specification to the faces."""
    place = {name: number for number, name in enumerate(drawn())}
    wrong = [f"{here} imports {other}" for here, other in inner_imports() if place[other] > place[here]]
    assert wrong == []
