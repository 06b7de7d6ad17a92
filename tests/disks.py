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


def make_writable(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writing past `size` bytes of a file fails, for this process and this long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class FailingDisk:
    """A disk that the system makes read-only at once, open files and all, as it does after an error of the hardware."""

    def __init__(self, place: Path, image: Path) -> None:
        self.place, self._image = place, image

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self._image, self.place], check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.place], check=True)

    def fail(self) -> None:
        self._trigger.write_text("1")

    def mend(self) -> None:
        """Nobody may be at work in it."""
        self.unmount()
        subprocess.run(["e2fsck", "-fy", self._image], capture_output=True)
        self.mount()

    @property
    def _trigger(self) -> Path:
        said = subprocess.run(["findmnt", "-no", "SOURCE", self.place], check=True, capture_output=True, text=True)
        return Path("/sys/fs/ext4") / Path(said.stdout.strip()).name / "trigger_fs_error"


@contextmanager
def failing_disk(place: Path) -> Iterator[FailingDisk]:
    """A new directory with a disk of its own that can fail; the test is skipped where there is none to be had."""
    place.mkdir()
    image = place.with_suffix(".image")
    disk = FailingDisk(place, image)
    with image.open("wb") as file:
        file.truncate(64 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
        disk.mount()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk of its own is for the superuser of a Linux system with loop devices")
    try:
        yield disk
    finally:
        disk.unmount()
