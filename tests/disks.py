"""Places that are small, read-only, or another's: what a disk does to a program sooner or later."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str = "64k") -> Iterator[Path]:
    """A new directory with a file system of this size; the test is skipped where it cannot be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting is for the superuser of a Linux system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> None:
    """Take all the space that is left on a small disk."""
    left = os.statvfs(disk)
    (disk / "filling").write_bytes(bytes(left.f_bavail * left.f_frsize))


def make_read_only(disk: Path) -> None:
    """As the system does by itself after an error of the disk."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writing past `size` bytes of a file fails, for this process and this long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
