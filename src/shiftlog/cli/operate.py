"""Running a deployment: keys, accounts, names, ingest, publish, files, serve, settings."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftlog import hours
from shiftlog.cli import engines, logs, render, secrets
from shiftlog.cli.engines import EngineName, EngineOption, MasterOption
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.cli.render import Format
from shiftlog.errors import Invalid, Missing
from shiftlog.names import check_account

if TYPE_CHECKING:
    from shiftlog.house import House

AccountOption = Annotated[str, typer.Option("--account", help="The account.", show_default=False)]
FormatOption = Annotated[Format, typer.Option("--format", help="What to print.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    keys_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys of accounts.")
    keys_app.command("create")(deployed(create_key))
    keys_app.command("list")(deployed(list_keys))
    keys_app.command("rotate")(deployed(secrets.rotate_key))
    keys_app.command("revoke")(deployed(revoke_key))
    app.add_typer(keys_app, name="keys")
    accounts_app = typer.Typer(no_args_is_help=True, help="List accounts and change their settings.")
    accounts_app.command("list")(deployed(list_accounts))
    accounts_app.command("set")(deployed(set_account))
    app.add_typer(accounts_app, name="accounts")
    names_app = typer.Typer(no_args_is_help=True, help="What agents, groups and profiles are called.")
    names_app.command("import")(deployed(import_names))
    app.add_typer(names_app, name="names")
    for command in (serve, ingest, publish, files):
        app.command()(deployed(command))
    app.command()(settings)


# ── keys ──


def create_key(
    data: Data,
    account: AccountOption,
    permission: Annotated[list[str], typer.Option(help="read, write or admin; may be given several times.")] = ["read"],  # noqa: B006 (typer copies it)
    expires: Annotated[str | None, typer.Option(help="When it ends to be valid (ISO).", show_default="never")] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Write the key to this file, for shiftlog pull, and do not show its secrets.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="The server's address in the profile.", show_default="SHIFTLOG_PUBLIC_URL, or this machine's port 8080"),
    ] = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Make a key, and the account where there is none. Its secrets are shown this once.

    Example: `shiftlog keys create --data /srv/shiftlog --account 75555851 --permission read --permission write`
    """
    from shiftlog.catalog import accounts, keys, trail

    with opened(data, create=True) as house:
        now = house.catalog.now()
        until = None if expires is None else hours.parse(expires)
        with house.catalog.write() as conn:
            accounts.ensure(conn, account, now, house.settings)
            key = keys.create(conn, house.vault, account, permission, now, until)
            trail.by_hand(conn, now, account, "key-create", f"key {key.consumer_key}: {', '.join(key.permissions)}, {_until(until)}")
            if profile is not None:
                # Before the commit: a key whose profile cannot be written is not made.
                _write_profile(profile, url or house.settings.public_url or "http://127.0.0.1:8080", key)
    shown = {name: getattr(key, name) for name in ("account", "permissions", *_KEY)}
    if profile is not None:
        shown |= {"consumer_secret": "***", "token_secret": "***", "bearer": "***", "profile": str(profile)}
    render.one(shown, format_)


def _until(expires: int | None) -> str:
    return "without end" if expires is None else f"until {hours.iso(expires)}"


_KEY = ("consumer_key", "consumer_secret", "token", "token_secret", "bearer")


def _write_profile(path: Path, url: str, key: Any) -> None:
    from shiftlog.client.profile import Profile

    Profile(url, key.account, **{name: getattr(key, name) for name in _KEY}).save(path)


def list_keys(
    data: Data,
    account: Annotated[str | None, typer.Option(help="Of this account only.")] = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """List keys, without their secrets.

    Example: `shiftlog keys list --data /srv/shiftlog`
    """
    from shiftlog.catalog import keys

    with opened(data) as house, house.catalog.read() as conn:
        found = keys.listing(conn, account)
    for key in found:
        for name in ("created", "expires", "revoked"):
            key[name] = None if key[name] is None else hours.iso(key[name])
    render.rows(found, format_, empty="no keys yet; make one: shiftlog keys create")


def revoke_key(data: Data, key: Annotated[str, typer.Argument(help="The key's token or consumer key.")]) -> None:
    """Revoke a key: from now on requests with it are refused.

    Example: `shiftlog keys revoke 0f3a… --data /srv/shiftlog`
    """
    from shiftlog.catalog import keys, trail

    with opened(data) as house, house.catalog.write() as conn:
        now = house.catalog.now(conn)
        revoked = keys.revoke(conn, key, now)
        trail.by_hand(conn, now, revoked["account"], "key-revoke", f"key {revoked['consumer_key']}")
    render.note(f"key {key} is revoked")


# ── accounts and names ──


def list_accounts(data: Data, format_: FormatOption = Format.TABLE) -> None:
    """List accounts and how far they are published.

    Example: `shiftlog accounts list --data /srv/shiftlog`
    """
    from shiftlog.catalog import accounts, publishing

    with opened(data) as house, house.catalog.read() as conn:
        found = [(account, publishing.state(conn, account.account)) for account in accounts.every(conn)]
    rows = [
        {
            "account": account.account,
            "time_zone": account.time_zone,
            "schema_version": account.schema_version,
            "retention_days": account.retention_days,
            "watermark": None if state.watermark is None else hours.iso(state.watermark),
            "parts": state.last_seq,
        }
        for account, state in found
    ]
    render.rows(rows, format_, empty="no accounts yet; one comes into being with its first key: shiftlog keys create")


def set_account(
    account: Annotated[str, typer.Argument(help="The account.")],
    data: Data,
    time_zone: Annotated[str | None, typer.Option(help="IANA name, such as Europe/Berlin: the zone of scope dates.")] = None,
    schema_version: Annotated[str | None, typer.Option(help="The schema version that is published from now on.")] = None,
    retention_days: Annotated[int | None, typer.Option(help="How long files stay in the API.", min=1)] = None,
    pgp_key: Annotated[
        Path | None, typer.Option(help="The OpenPGP public key to which its files are encrypted from now on (they are .gz.pgp then).")
    ] = None,
    no_pgp_key: Annotated[bool, typer.Option("--no-pgp-key", help="Serve its files as they are again.")] = False,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Change an account's settings; without options, show them.

    Example: `shiftlog accounts set 75555851 --data /srv/shiftlog --time-zone Europe/Berlin`
    """
    from dataclasses import asdict

    from shiftlog import pgp, schema
    from shiftlog.catalog import accounts, trail

    if time_zone is not None:
        hours.zone(time_zone)
    if schema_version is not None:
        schema.schema(schema_version)
    if pgp_key is not None and no_pgp_key:
        raise Invalid("either --pgp-key or --no-pgp-key is expected")
    given = {"time_zone": time_zone, "schema_version": schema_version, "retention_days": retention_days}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    said = [f"{name} {value}" for name, value in changes.items()]
    if pgp_key is not None or no_pgp_key:
        changes["pgp_key"] = None if pgp_key is None else pgp.public_key(_bytes(pgp_key), str(pgp_key))
        said.append("no pgp_key" if pgp_key is None else f"pgp_key {pgp.fingerprint(changes['pgp_key'])}")
    with opened(data) as house, house.catalog.write() as conn:
        found = accounts.update(conn, account, changes)
        if changes:
            trail.by_hand(conn, house.catalog.now(conn), account, "account-set", ", ".join(said))
    render.one(asdict(found) | {"pgp_key": None if found.pgp_key is None else pgp.fingerprint(found.pgp_key)}, format_)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}") from None


def import_names(
    account: Annotated[str, typer.Argument(help="The account.")],
    file: Annotated[
        Path, typer.Argument(help="CSV with the columns kind (agent, group, profile), id, name and, if wanted, valid_from (ISO).")
    ],
    data: Data,
) -> None:
    """Import what agents, groups and profiles are called; names are shown beside the ids.

    Example: `shiftlog names import 75555851 names.csv --data /srv/shiftlog`
    """
    from shiftlog.catalog import accounts, forgetting, trail

    with opened(data) as house, house.catalog.write() as conn:
        zone = accounts.get(conn, account).time_zone
        rules = forgetting.rules(conn, house.vault, account)
        count = accounts.name(conn, account, rules.named(_names(file, zone)))
        trail.by_hand(conn, house.catalog.now(conn), account, "names-import", f"{count} names")
    render.note(f"{count} names imported")


def _names(file: Path, zone: str) -> Iterator[tuple[str, int, int, str]]:
    from shiftlog.catalog.accounts import KINDS

    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Missing(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read: {error}") from None
    reader = csv.DictReader(text.splitlines())
    if not {"kind", "id", "name"} <= set(reader.fieldnames or ()):
        raise Invalid(f"{file}: found the columns {', '.join(reader.fieldnames or ()) or '(none)'}; kind, id and name are expected")
    for number, row in enumerate(reader, 2):
        if row["kind"] not in KINDS:
            raise Invalid(f"{file}, line {number}: kind: found {row['kind']!r}; allowed: {', '.join(KINDS)}")
        if not (row["id"] or "").removeprefix("-").isdigit() or not row["name"]:
            raise Invalid(f"{file}, line {number}: found id {row['id']!r}, name {row['name']!r}; a whole number and a text are expected")
        yield row["kind"], int(row["id"]), hours.parse(row["valid_from"], zone) if row.get("valid_from") else 0, row["name"]


# ── events in, parts out ──


def ingest(
    files: Annotated[list[str], typer.Argument(help="NDJSON, JSON, CloudEvents or published files, plain or .gz; - is standard input.")],
    account: AccountOption,
    data: Data = None,
    url: Annotated[str | None, typer.Option(help="Or the server to send to.")] = None,
    bearer: Annotated[str | None, typer.Option(help="The bearer token for it.", envvar="SHIFTLOG_BEARER")] = None,
) -> None:
    """Take in events from files. What was taken in before is dropped as a repeat, so it is safe to run again.

    Example: `shiftlog ingest day.ndjson.gz --data /srv/shiftlog --account 75555851`
    """
    if data is not None and url is not None:
        raise Invalid("either --data DIR or --url URL is expected")
    check_account(account)
    with _sender(data, url, bearer, account) as send, render.progress("bytes") as bar:
        total = sum(_send_file(name, account, send, bar) for name in files)
    render.note(f"{total} events accepted")


def _send_file(name: str, account: str, send: Any, bar: Any) -> int:
    import time

    from shiftlog import intake

    size = None if name == "-" else (Path(name).stat().st_size if Path(name).is_file() else None)
    task = bar.add_task(Path(name).name, total=size)
    frames = intake.read(name, account=account, now=int(time.time() * 1000), on_bytes=lambda n: bar.advance(task, n))
    return sum(send(frame) for frame in frames)


@contextmanager
def _sender(data: Path | None, url: str | None, bearer: str | None, account: str) -> Iterator[Any]:
    if url is not None:
        from shiftlog.client import Client, Profile

        if not bearer:
            raise Invalid("--bearer TOKEN (or SHIFTLOG_BEARER) is expected with --url")
        with Client(Profile(url, account, bearer=bearer)) as client:
            yield client.post_events
        return
    from shiftlog.landing import Landing

    taken: list[int] = []

    def take(frame: Any) -> int:
        taken.append(landing.accept(account, frame))
        return taken[-1]

    with opened(data) as house:
        landing = Landing(house)
        try:
            yield take
        finally:
            landing.close()
            _record(house, account, "ingest", f"{sum(taken)} events")


def _record(house: House, account: str, action: str, what: str) -> None:
    from shiftlog.catalog import trail

    with house.catalog.write() as conn:
        trail.by_hand(conn, house.catalog.now(conn), account, action, what)


def publish(
    data: Data,
    account: Annotated[str | None, typer.Option(help="This account only.", show_default="all")] = None,
    now: Annotated[
        str | None, typer.Option(help="Which hours and time-outs count as due (ISO); for rehearsals.", show_default="the clock")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, hour by hour, as shiftlog serve does; several may share the work.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(help="With --watch: answer GET /metrics on this port, for Prometheus.", show_default="none", min=1, max=65535),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address of that port.")] = "127.0.0.1",
    format_: FormatOption = Format.TABLE,
    engine: EngineOption = EngineName.LOCAL,
    spark_master: MasterOption = None,
) -> None:
    """Close every hour that is due, and print a row for each part, once all are visible.

    With --watch it prints nothing, logs what it does, and publishes all accounts hour by hour until it is told to stop. Any number of
    such workers divide the accounts among them, and take over from one that died.

    Example: `shiftlog publish --data /srv/shiftlog`
    """
    if watch:
        if account is not None or now is not None:
            raise Invalid("--watch publishes all accounts by the clock: leave out --account and --now")
        if engine is not EngineName.LOCAL:
            raise Invalid("--watch publishes on this machine; --engine spark is for a run over hours that are many or large")
        return _watch(data, metrics_host, metrics_port)
    if metrics_port is not None:
        raise Invalid("--metrics-port is for --watch; a run ends, and prints what it did")
    from shiftlog.catalog import accounts
    from shiftlog.lease import Worker
    from shiftlog.publish import publish as run

    instant = None if now is None else hours.parse(now)
    found: list[dict[str, Any]] = []
    with opened(data) as house, Worker(house) as worker, engines.engine(engine, spark_master) as computing, render.progress("parts") as bar:
        with house.catalog.read() as conn:
            wanted = [account] if account else [known.account for known in accounts.every(conn)]
        task = bar.add_task("parts written", total=None)
        for name in wanted:
            parts = run(worker, name, now=instant, on_part=lambda _: bar.advance(task), engine=computing)
            if parts:
                _record(house, name, "publish", f"{len(parts)} parts")
            found += [_row(part, name, "UTC") for part in parts]
    render.rows(_shown(found, format_), format_, empty="nothing was due")


def _watch(data: Path | None, metrics_host: str, metrics_port: int | None) -> None:
    import signal
    import threading

    from shiftlog.server.exposition import exposed
    from shiftlog.server.monitor import Monitor
    from shiftlog.server.scheduler import Scheduler

    logs.to_stderr(logging.INFO)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with opened(data) as house, ExitStack() as resources:
        monitor = Monitor(house)
        if metrics_port is not None:
            resources.enter_context(exposed(monitor.registry, metrics_host, metrics_port))
        scheduler = Scheduler(house, monitor, publish=True)
        scheduler.start()
        try:
            stopped.wait()
        finally:
            scheduler.stop()


def files(data: Data, account: AccountOption, format_: FormatOption = Format.TABLE) -> None:
    """List an account's published files.

    Example: `shiftlog files --data /srv/shiftlog --account 75555851`
    """
    from shiftlog.catalog import accounts, parts

    with opened(data) as house, house.catalog.read() as conn:
        zone = accounts.get(conn, account).time_zone
        found = parts.manifest(conn, account, now=house.catalog.now(), after=0, limit=sys.maxsize)
    render.rows(
        [_row(part, account, zone) for part in found if part.gz_gone is None], format_, empty="no files yet; shiftlog publish makes them"
    )


def _shown(rows: list[dict[str, Any]], format_: Format) -> list[dict[str, Any]]:
    """A table for people has room for the beginning of a checksum."""
    return rows if format_ is not Format.TABLE else [row | {"sha256": row["sha256"][:12] + "…"} for row in rows]


def _row(part: Any, account: str, zone: str) -> dict[str, Any]:
    return {
        "account": account,
        "file": str(part.name),
        "from": hours.iso(part.scope_start, zone),
        "to": hours.iso(part.scope_end, zone),
        "sessions": part.sessions,
        "events": part.events,
        "withdrawals": part.withdrawals,
        "bytes": part.gz_bytes,
        "sha256": part.gz_sha256,
        "generated": hours.iso(part.generated, zone),
    }


# ── the server ──


def serve(
    data: Data,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 8080,
    public_url: Annotated[str | None, typer.Option(help="The address clients use; signatures are checked against it.")] = None,
    publish: Annotated[bool, typer.Option("--publish/--no-publish", help="Publish each hour from here.")] = True,
    tls_cert: Annotated[Path | None, typer.Option(help="The TLS certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
) -> None:
    """Serve the Data Access API, take in events, and publish every hour.

    A server is one process. Any number of them may serve one deployment whose catalog is in PostgreSQL, on as many ports or machines.

    Example: `shiftlog serve --data /srv/shiftlog --port 8080`
    """
    from shiftlog.server import app as server

    if (tls_cert is None) != (tls_key is None):
        raise Invalid("--tls-cert and --tls-key are expected together")
    logs.to_stderr(logging.INFO)
    with opened(data) as house:
        server.serve(house, host=host, port=port, public_url=public_url, publish=publish, tls_cert=tls_cert, tls_key=tls_key)


def settings(format_: FormatOption = Format.TABLE) -> None:
    """Show every setting: its environment variable, default and meaning.

    Example: `shiftlog settings --format json`
    """
    from shiftlog.settings import table

    render.rows(table(), format_)
