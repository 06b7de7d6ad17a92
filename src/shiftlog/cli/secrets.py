"""Changing secrets without a gap: keys of accounts, and the key that secrets are encrypted with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from shiftlog import hours
from shiftlog.cli import render
from shiftlog.cli.place import Data, deployed, opened
from shiftlog.cli.render import Format
from shiftlog.errors import Invalid

FormatOption = Annotated[Format, typer.Option("--format", help="What to print.")]
_SECRET = ("consumer_secret", "token_secret", "bearer")
_KEY = ("consumer_key", "token", *_SECRET)


def register(app: typer.Typer) -> None:
    """Add the commands of this subject."""
    secrets_app = typer.Typer(no_args_is_help=True, help="The key that secrets in the catalog are encrypted with, and those that sign.")
    secrets_app.command("rotate")(deployed(rotate_secret))
    secrets_app.command("retire")(deployed(retire_secrets))
    secrets_app.command("sign-anew")(deployed(sign_anew))
    app.add_typer(secrets_app, name="secrets")


def rotate_key(
    data: Data,
    key: Annotated[str, typer.Argument(help="The key's number, token or consumer key.")],
    overlap: Annotated[str, typer.Option(help="How long the old key goes on, such as 30m, 24h or 7d.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(help="When the new key ends to be valid (ISO).", show_default="as long after now as the old one had")
    ] = None,
    profile: Annotated[Path | None, typer.Option(help="Put the new key into this profile, and do not show its secrets.")] = None,
    format_: FormatOption = Format.TABLE,
) -> None:
    """Make a key's successor. Until the overlap is over both are good, so that nobody is locked out while it is handed on.

    Example: `shiftlog keys rotate 3 --data /srv/shiftlog --overlap 24h --profile profile.json`
    """
    from shiftlog.catalog import keys, trail

    while_both, until = hours.length(overlap), None if expires is None else hours.parse(expires)
    with opened(data) as house, house.catalog.write() as conn:
        now = house.catalog.now(conn)
        old = keys.named(conn, key)
        new = keys.rotate(conn, house.vault, key, now, while_both, until)
        ends = keys.named(conn, key)["expires"]
        trail.by_hand(
            conn, now, new.account, "key-rotate", f"key {old['consumer_key']}, which ends at {hours.iso(ends)}: key {new.consumer_key}"
        )
        if profile is not None:
            # Before the commit: a key whose profile cannot be written is not made.
            _put(profile, new)
    shown = {name: getattr(new, name) for name in ("account", "permissions", *_KEY)} | {"old_key_ends": hours.iso(ends)}
    if profile is not None:
        shown |= dict.fromkeys(_SECRET, "***") | {"profile": str(profile)}
    render.one(shown, format_)


def _put(path: Path, key: Any) -> None:
    from shiftlog.client.profile import Profile

    present = Profile.load(path, {})
    if present.account != key.account:
        raise Invalid(
            f"the profile {path} is of the account {present.account}, the key of {key.account}; name the profile that has the key"
        )
    replace(present, **{name: getattr(key, name) for name in _KEY}).save(path)


def rotate_secret(data: Data) -> None:
    """Encrypt all secrets with a new key. Servers that run go on: they read the key file again when they meet the new key.

    The old key stays in the file, and is accepted, until `shiftlog secrets retire`. Where the keys are in SHIFTLOG_SECRET_KEY, put the new
    one before the old one there (`NEW,OLD`), restart the servers one by one, then run this, and then take the old one out.

    Example: `shiftlog secrets rotate --data /srv/shiftlog`
    """
    from shiftlog.catalog import sealed, trail

    with opened(data) as house:
        if house.vault.in_file:
            house.vault.rotate()
        elif house.vault.keys < 2:
            raise Invalid("SHIFTLOG_SECRET_KEY holds one key; two are expected, the new one first: NEW,OLD")
        with house.catalog.write() as conn:
            count = sealed.anew(conn, house.vault)
            trail.by_hand(conn, house.catalog.now(conn), None, "secrets-rotate", f"{count} secrets")
    render.note(f"{count} secrets are encrypted with the new key; when all servers have met it: shiftlog secrets retire")


def retire_secrets(data: Data) -> None:
    """Forget the old keys, once nothing needs them any more. A backup from before needs them: keep the key file with it.

    Example: `shiftlog secrets retire --data /srv/shiftlog`
    """
    from shiftlog.catalog import sealed, trail

    with opened(data) as house, house.catalog.write() as conn:
        left, old = sealed.stale(conn, house.vault), house.vault.keys - 1
        if left:
            raise Invalid(f"{left} secrets are encrypted with an old key; encrypt them anew first: shiftlog secrets rotate")
        house.vault.retire()
        trail.by_hand(conn, house.catalog.now(conn), None, "secrets-retire", f"{old} keys")
    render.note(f"{old} old keys are forgotten")


def sign_anew(data: Data, account: Annotated[str, typer.Argument(help="The account.")], format_: FormatOption = Format.TABLE) -> None:
    """Give an account another key to sign its chain with. The present one signs it, so that lakes go on; what was signed stays good.

    Example: `shiftlog secrets sign-anew 75555851 --data /srv/shiftlog`
    """
    from shiftlog.catalog import chained, trail

    with opened(data) as house, house.catalog.write() as conn:
        now = house.catalog.now(conn)
        key = chained.rotate(conn, house.vault, account, now)
        trail.by_hand(conn, now, account, "signing-key", f"key {key.id}, signed by {key.signed_by}")
    render.one({"account": account, "key": key.id, "public": key.public, "signed_by": key.signed_by}, format_)
