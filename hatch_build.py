"""Build hook: the compiled kernels become part of a wheel, and of an editable installation, where there is a compiler."""

from __future__ import annotations

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("src", "shiftlog", "kernels")


class Kernels(BuildHookInterface):  # type: ignore[type-arg, misc]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        compiled = runpy.run_path(str(Path(self.root, KERNELS, "compile.py")))["compile_kernels"]()
        if compiled and version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
            build_data["artifacts"].append(str(KERNELS / compiled.name))
