"""Part names: `Agent.{startMs}.{endMs}.part-{NNNNN}-{R}` as a value (seed: Elements in the Response)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shiftlog.errors import Invalid

ACCOUNT = re.compile(r"[A-Za-z0-9_]{1,20}")
# Part numbers of one million and more, and revisions past 9, simply get wider: order is by number, never by text.
_PART = re.compile(r"Agent\.(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})\.part-(\d{5}|[1-9]\d{5,8})-(0|[1-9]\d{0,8})", re.ASCII)
SUFFIXES = ("gz", "gz.pgp", "parquet", "avro", "zip")


@dataclass(frozen=True, slots=True, order=True)
class PartName:
    """The name of one published file: the scope [start, end) in epoch ms, the part's number, and its revision."""

    start: int
    end: int
    part: int
    revision: int

    @classmethod
    def parse(cls, text: str) -> PartName:
        """The value of a part name without a suffix.

        Raises:
            Invalid: not a part name.
        """
        match = _PART.fullmatch(text)
        if not match:
            raise Invalid(f"{text[:100]!r} is not a part name; Agent.{{startMs}}.{{endMs}}.part-{{NNNNN}}-{{R}} is expected")
        start, end, part, revision = map(int, match.groups())
        if end <= start:
            raise Invalid(f"part name {text!r} ends at {end}, not after its start {start}")
        return cls(start, end, part, revision)

    def __str__(self) -> str:
        return f"Agent.{self.start}.{self.end}.part-{self.part:05d}-{self.revision}"


def split_suffix(text: str) -> tuple[PartName, str]:
    """A part name as clients ask for it: with `.gz` or without (which means the same), `.gz.pgp`, `.parquet`, `.avro` or `.zip`.

    Raises:
        Invalid: not such a name.
    """
    for suffix in SUFFIXES:
        if text.endswith(f".{suffix}"):
            return PartName.parse(text.removesuffix(f".{suffix}")), suffix
    return PartName.parse(text), "gz"


def check_account(text: str) -> str:
    """The account's name itself, if it is one (`^[A-Za-z0-9_]{1,20}$`).

    Raises:
        Invalid: not an account's name.
    """
    if not ACCOUNT.fullmatch(text):
        raise Invalid(f"{text[:40]!r} is not an account; 1 to 20 letters, digits and underscores are allowed")
    return text
