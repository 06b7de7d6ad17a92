"""Fuzz target after target, each in a process of its own, and keep what is learned in `.fuzz/`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fuzz.targets import TARGETS, WORDS, seeds  # noqa: E402 (found by the path above)

HANG, MEMORY = 20, 2_048  # seconds that one input may take at most, and MiB that a process may hold


def fuzz(name: str, seconds: int, place: Path, runs: int = -1) -> subprocess.CompletedProcess[str]:
    """Fuzz one target for so long, and for no more than so many inputs; what was found is in what it printed, and in `place`."""
    learned = place / name
    learned.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (learned / f"seed-{number}").write_bytes(seed)
    words = place / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in WORDS))
    options = {
        "max_total_time": seconds,
        "runs": runs,
        "timeout": HANG,
        "rss_limit_mb": MEMORY,
        "dict": words,
        "artifact_prefix": f"{place}/find-{name}-",
        "verbosity": 0,
        "print_final_stats": 1,
    }
    known = HERE / "corpus" / name
    corpora = [learned, *([known] if known.is_dir() else [])]
    command = [sys.executable, HERE / "run.py", name, *(f"-{key}={value}" for key, value in options.items()), *corpora]
    return subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds + 300,
        check=False,
    )


def executed(done: subprocess.CompletedProcess[str]) -> int:
    """How many inputs were tried."""
    found = [line.rpartition(":")[2] for line in done.stdout.splitlines() if line.startswith("stat::number_of_executed_units")]
    return int(found[0]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", choices=TARGETS)
    asked = parser.parse_args()
    place = Path(".fuzz")
    for name in [asked.only] if asked.only else TARGETS:
        done = fuzz(name, asked.seconds, place)
        print(
            f"{name:15} {executed(done):>10} inputs in {asked.seconds} s: {'nothing found' if done.returncode == 0 else 'FOUND'}",
            flush=True,
        )
        if done.returncode:
            sys.exit(done.stdout[-5_000:])


if __name__ == "__main__":
    main()
