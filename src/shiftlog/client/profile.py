"""A profile: where a server is, which account is meant, and the key. A JSON file that its owner alone can read.

    {"version": 1, "url": "https://da.example.net", "account": "75555851",
     "consumer_key": "…", "consumer_secret": "…", "token": "…", "token_secret": "…", "bearer": "…"}

The four values of OAuth 1.0a, or `bearer`, or both: then requests are signed. The environment overrides the file, member by
member (`SHIFTLOG_URL`, `SHIFTLOG_TOKEN_SECRET`, …), and can stand for it. Secrets are never shown.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from shiftlog.errors import Invalid, Missing, Unusable
from shiftlog.names import check_account
from shiftlog.oauth1 import Credentials

log = structlog.get_logger()

VERSION = 1
OAUTH = ("consumer_key", "consumer_secret", "token", "token_secret")


@dataclass(frozen=True, slots=True)
class Profile:
    """Where, for whom, and with which key."""

    url: str
    account: str
    consumer_key: str = ""
    consumer_secret: str = field(default="", repr=False)
    token: str = ""
    token_secret: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_account(self.account)
        _check_url(self.url)
        given = [name for name in OAUTH if getattr(self, name)]
        missing = [name for name in OAUTH if name not in given]
        if given and missing:
            raise Invalid(f"the profile has {', '.join(given)} and not {', '.join(missing)}; all four are one key, or bearer alone")
        if not given and not self.bearer:
            raise Invalid(f"the profile has no key; {', '.join(OAUTH)}, or bearer, are expected")

    @property
    def credentials(self) -> Credentials | None:
        """What requests are signed with; None where there is only a bearer token."""
        return Credentials(self.consumer_key, self.consumer_secret, self.token, self.token_secret) if self.token else None

    @classmethod
    def load(cls, path: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> Profile:
        """The profile of a file, of the environment, or of both.

        Raises:
            Missing: there is no such file.
            Invalid: not a profile, or not a whole one.
            Unusable: of a newer version, or not to be read.
        """
        given = {} if path is None else _read(Path(path).expanduser())
        over = {name: environment[f"SHIFTLOG_{name.upper()}"] for name in _NAMES if environment.get(f"SHIFTLOG_{name.upper()}")}
        if "bearer" in over and not over.keys() & set(OAUTH):
            # Who sets another key means it: the file's, which would sign, must not win.
            given = {name: value for name, value in given.items() if name not in OAUTH}
        members = {**given, **over}
        for name in ("url", "account"):
            if not members.get(name):
                raise Invalid(f"{name} is missing; it is expected in the profile, or in SHIFTLOG_{name.upper()}")
        return cls(**members)

    def save(self, path: Path) -> None:
        """Write the profile, readable by its owner alone; what was there is replaced.

        Raises:
            Unusable: the file cannot be written.
        """
        members = {name: value for name, value in asdict(self).items() if value}
        text = msgspec.json.format(msgspec.json.encode({"version": VERSION, **members}), indent=2) + b"\n"
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
            beside.replace(path)
        except OSError as error:
            raise Unusable(f"the profile {path} cannot be written: {error.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)


_NAMES = tuple(member.name for member in fields(Profile))


def _read(path: Path) -> dict[str, str]:
    try:
        text, mode = path.read_bytes(), path.stat().st_mode
    except FileNotFoundError:
        raise Missing(f"there is no profile {path}; shiftlog keys create --profile {path} writes one") from None
    except OSError as error:
        raise Unusable(f"the profile {path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("profile.exposed", path=str(path), mode=oct(stat.S_IMODE(mode)), advice=f"chmod 600 {path}")
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(members.pop("version", msgspec.Raw(b"null")))
        if isinstance(version, int) and version > VERSION:
            raise Unusable(f"the profile {path} has version {version}; this shiftlog knows up to {VERSION}: use a newer one")
        if version != VERSION:
            raise Invalid(f"the profile {path} has version {version!r}; {VERSION} is expected")
        # Of members that are not known nothing is said: they may be secrets.
        return {name: msgspec.json.decode(members[name], type=str) for name in _NAMES if name in members}
    except msgspec.DecodeError:
        raise Invalid(
            f"{path} is not a profile; a JSON object with version, url, account and a key is expected, all text but version"
        ) from None


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise Invalid(f"{shown[:200]!r} is not a server's url; http or https and a host are expected, such as https://da.example.net")
