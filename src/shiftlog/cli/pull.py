"""The other side of the API: pull published files into a lake, and prove it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftlog import hours
from shiftlog.cli import render
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.cli.render import Format
from shiftlog.errors import Later

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from shiftlog.client.pull import Options, Summary

ProfileOption = Annotated[
    Path | None,
    typer.Option(
        "--profile", help="The profile, as shiftlog keys create writes it; the environment overrides it.", envvar="SHIFTLOG_PROFILE"
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="What to print.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    app.command()(pull)
    app.command()(deployed(verify))


def pull(
    into: Annotated[Path, typer.Option(help="The directory of the lake; it is made where there is none.", show_default=False)],
    profile: ProfileOption = None,
    since: Annotated[str | None, typer.Option(help="Only files that were generated since (ISO).", show_default="all there are")] = None,
    keep_raw: Annotated[bool, typer.Option("--keep-raw", help="Keep the published .gz files, too.")] = False,
    parquet: Annotated[
        bool,
        typer.Option("--parquet", help="Take the .parquet of each file, which the signed manifest proves as well: several times as quick."),
    ] = False,
    jobs: Annotated[int, typer.Option(help="Downloads side by side.", min=1, max=64)] = 4,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, hour by hour.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Prove the lake first, and fetch again what is wrong.")] = False,
    look_back: Annotated[
        float,
        typer.Option(help="Hours to look back, on a server that does not say how far its lists reach.", min=0, envvar="SHIFTLOG_LOOK_BACK"),
    ] = 6,
    pgp_key: Annotated[
        Path | None,
        typer.Option(
            help="The OpenPGP private key for files that are encrypted; its passphrase is in SHIFTLOG_PGP_PASSPHRASE, or is asked for.",
            show_default="GnuPG's agent is asked",
        ),
    ] = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Pull every file that is new into a lake of Parquet files. Stop it at any time, and run it again.

    Example: `shiftlog pull --profile profile.json --into lake`
    """
    from shiftlog.client.http import Client
    from shiftlog.client.pull import Options, next_look

    options = Options(
        None if since is None else hours.parse(since),
        keep_raw,
        jobs,
        repair,
        int(look_back * hours.HOUR),
        _decryptor(pgp_key),
        parquet,
    )
    with Client(_profile(profile)) as client:
        while True:
            summary = _pull(client, into, options, patient=watch)
            if summary is not None:
                _show(summary, format_)
            if not watch:
                break
            _sleep((next_look(_now()) - _now()) / 1000 if summary is not None and not summary.failed else 60)
    if summary is not None and summary.failed:
        raise typer.Exit(1)


def _decryptor(key: Path | None) -> Any:
    from shiftlog import pgp

    return pgp.decryptor(key, lambda: str(typer.prompt(f"The passphrase of {key}", hide_input=True, err=True)))


def _profile(path: Path | None) -> Any:
    from shiftlog.client.profile import Profile

    return Profile.load(path)


def _pull(client: Any, into: Path, options: Options, *, patient: bool) -> Summary | None:
    """One pull; with patience, None where the server cannot be reached for now."""
    from shiftlog.client.pull import pull as run

    with render.progress("bytes") as bar:
        try:
            return run(client, into, options, now=_now(), progress=_shown(bar))
        except Later as later:
            if not patient:
                raise
            render.note(f"{later}; trying again in a minute")
            return None


def _shown(bar: Bar) -> Any:
    """A pull's progress as a bar: bytes, with the number of files before it."""
    from shiftlog.client.pull import Progress

    class Shown(Progress):
        task, done, all = bar.add_task("looking", total=None), 0, 0

        def expect(self, files: int, size: int | None) -> None:
            self.all = files
            bar.update(self.task, total=size)
            self.files(0)

        def bytes(self, count: int) -> None:
            bar.advance(self.task, count)

        def files(self, count: int) -> None:
            self.done += count
            bar.update(self.task, description=f"{self.done} of {self.all} files")

    return Shown()


def _show(summary: Summary, format_: Format) -> None:
    row = asdict(summary)
    failed = row.pop("failed")
    for name in ("cursor", "watermark"):
        row[name] = None if row[name] is None else hours.iso(row[name])
    render.one({**row, "failed": len(failed)}, format_)
    for name, reason in failed.items():
        render.note(f"{name}: {reason}")
    if failed:
        render.note("the next pull tries these again")


def verify(
    lake: Annotated[Path | None, typer.Argument(help="The directory of the lake.", show_default=False)] = None,
    data: Data = None,
    profile: ProfileOption = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Prove a lake, offline: every file is there, and is what the server has signed; with a profile, nothing that it published is missing.

    Without a lake, prove a deployment: its catalog is whole, and every part that it has published and not deleted is there, and is what it
    has signed.

    Example: `shiftlog verify lake`
    Example: `shiftlog verify --data /srv/shiftlog`
    """
    if lake is None:
        _verify_deployment(data, format_)
    else:
        _verify_lake(lake, profile, format_)


def _verify_deployment(data: Path | None, format_: Format) -> None:
    from shiftlog.catalog import accounts
    from shiftlog.proof import prove

    with opened(data) as house, render.progress("files") as bar:
        house.catalog.check()
        with house.catalog.read() as conn:
            known = accounts.every(conn)
        task = bar.add_task("parts proved", total=None)
        proofs = [asdict(prove(house, account.account, lambda: bar.advance(task))) for account in known]
    render.rows(
        [{**proof, "wrong": len(proof["wrong"]), "remarks": len(proof["remarks"])} for proof in proofs], format_, empty="no accounts yet"
    )
    for proof in proofs:
        for remark in proof["remarks"]:
            render.note(remark)
        for problem in proof["wrong"]:
            render.note(f"wrong: {problem}")
    if any(proof["wrong"] for proof in proofs):
        raise typer.Exit(1)


def _verify_lake(lake: Path, profile: Path | None, format_: Format) -> None:
    from shiftlog.client.http import Client
    from shiftlog.client.verify import verify as run

    with render.progress("files") as bar:
        task = bar.add_task("files proved", total=None)
        client = None if profile is None else Client(_profile(profile))
        report = asdict(run(lake, client, now=_now(), on_file=lambda: bar.advance(task)))
    wrong, remarks = report.pop("wrong"), report.pop("remarks")
    for name in ("cursor", "watermark"):
        report[name] = None if report[name] is None else hours.iso(report[name])
    render.one({**report, "wrong": len(wrong)}, format_)
    for remark in remarks:
        render.note(remark)
    for item in wrong:
        render.note(f"wrong: {item['problem']}")
    if wrong:
        render.note("shiftlog pull --repair fetches again what can be had")
        raise typer.Exit(1)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _now() -> int:
    return time.time_ns() // 1_000_000
