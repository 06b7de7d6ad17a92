"""Compile the C beside this file to one library, where there is a compiler. Run when the package is built, never by its users.

The library's name holds a digest of what it was made from, so that one of other sources is never loaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
_FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC")


def library() -> Path:
    """Where the library of these sources stands, if it was compiled."""
    digest = sha256(b"".join(path.read_bytes() for path in _sources())).hexdigest()[:12]
    return HERE / f"kernels-{digest}.so"


def compile_kernels() -> Path | None:
    """The library, compiled unless it is there; None where no compiler is, or it fails, which it says on stderr."""
    made = library()
    if made.exists():
        return made
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    partial = made.with_suffix(".partial")
    try:
        subprocess.run([compiler, *_FLAGS, "-o", str(partial), *map(str, _sources())], check=True)  # noqa: S603 (our own sources)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"shiftlog is installed without its compiled kernels, and is slower without them: {error}", file=sys.stderr)
        partial.unlink(missing_ok=True)
        return None
    for stale in HERE.glob("kernels-*.so"):
        stale.unlink()
    return partial.rename(made)


def _sources() -> list[Path]:
    return sorted(HERE.glob("*.c"))


if __name__ == "__main__":
    print(compile_kernels() or "no compiler (cc) is there: shiftlog works without its kernels, and is slower")
