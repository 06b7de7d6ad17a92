"""From a URL to a store: one table of schemes. Buckets take their keys and addresses from the variables that are usual for each."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from shiftlog.errors import Invalid, Unusable
from shiftlog.store.bucket import Bucket, Patience
from shiftlog.store.directory import Directory
from shiftlog.store.objects import Memory, Store
from shiftlog.store.troubles import Hints

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Config, S3Store

_ELSEWHERE_ROOM = 64 << 20  # bytes of memory for what was read lately, in processes that fold a share or write a part
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=+@,-]+(/[A-Za-z0-9!_.*'()=+@,-]+)*")

_S3 = Hints(
    keys="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for a temporary key)",
    region="set AWS_REGION",
    address="AWS_ENDPOINT_URL names the service; without it AWS in AWS_REGION is asked",
)
_GCS = Hints(
    keys="set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key",
    region="it is found by itself",
    address="GOOGLE_BASE_URL names another service than Google's",
)
_AZURE = Hints(
    keys="set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    region="it is found by itself",
    address="AZURE_STORAGE_ACCOUNT_NAME names the account, AZURE_STORAGE_ENDPOINT another service than Azure's",
)


class Place(NamedTuple):
    """What a URL of a bucket names."""

    scheme: str
    bucket: str
    prefix: str | None

    @classmethod
    def of(cls, url: str) -> Place:
        """
        Raises:
            Invalid: it does not.
        """
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.strip("/")
        if not _BUCKET.fullmatch(bucket) or (prefix and not _PREFIX.fullmatch(prefix)):
            raise Invalid(
                f"found the store {_shown(url)}; {scheme}://BUCKET or {scheme}://BUCKET/PREFIX is expected; keys come from variables"
            )
        return cls(scheme, bucket, prefix or None)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}{f'/{self.prefix}' if self.prefix else ''}"


def open_store(url: str, *, room: int = 0) -> Store:
    """The store of a URL: a directory's path or `file://`, `memory://`, `s3://bucket/prefix`, `gs://…`, `az://container/prefix`.

    `room` is the memory in which a bucket's store may keep what was read lately (bytes).

    Raises:
        Invalid: no store is known for this scheme, or the URL is not one of its.
        Unusable: the store cannot be reached or written; what that means has been tried.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise Invalid(f"no store is known for {scheme}://; a directory, {', '.join(f'{s}://' for s in _OPENERS if s)} are")
    store = opener(url, room)
    if isinstance(store, Bucket):
        store.probe()
    return store


def _directory(url: str, _: int) -> Store:
    return Directory(Path(url.removeprefix("file://")).expanduser().absolute())


def _memory(url: str, _: int) -> Store:
    return Memory()


# ── buckets ──


def s3(url: str, room: int = 0) -> Bucket:
    """A bucket of S3, or of what speaks like it; it is not asked yet."""
    place, endpoint = Place.of(url), _endpoint("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

    def make(patience: Patience) -> S3Store:
        from obstore.store import S3Store

        options = patience.client_options | {"allow_http": endpoint.startswith("http://")}
        # Named for both: the variable that obstore prefers is not the one that was checked, otherwise.
        where: S3Config = {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint} if endpoint else {}
        return S3Store(
            place.bucket,
            prefix=place.prefix,
            config=where,
            client_options=options,
            retry_config=patience.retry_config,
        )

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return _bucket(url, f"{place} at {endpoint or f'AWS, region {region}'}", _S3, make, room)


def gcs(url: str, room: int = 0) -> Bucket:
    """A bucket of Google Cloud Storage; it is not asked yet."""
    place = Place.of(url)

    def make(patience: Patience) -> GCSStore:
        from obstore.store import GCSStore

        return GCSStore(place.bucket, prefix=place.prefix, client_options=patience.client_options, retry_config=patience.retry_config)

    return _bucket(url, f"{place} at Google", _GCS, make, room)


def azure(url: str, room: int = 0) -> Bucket:
    """A container of Azure Blob Storage; it is not asked yet."""
    place = Place.of(url)

    def make(patience: Patience) -> AzureStore:
        from obstore.store import AzureStore

        return AzureStore(place.bucket, prefix=place.prefix, client_options=patience.client_options, retry_config=patience.retry_config)

    return _bucket(url, f"{place} at Azure", _AZURE, make, room)


@cache
def reopened(url: str) -> Bucket:
    """The same bucket in another process, such as one of Spark's: opened once there, by the variables that it has itself."""
    return _BUCKETS[urlsplit(url).scheme](url, _ELSEWHERE_ROOM)


def _bucket(url: str, label: str, hints: Hints, make: Callable[[Patience], S3Store | GCSStore | AzureStore], room: int) -> Bucket:
    from obstore.exceptions import BaseError

    try:
        return Bucket(label, hints, make, room, again=partial(reopened, url))
    except (BaseError, ValueError) as error:
        # What is wrong with the variables; the first line has no values of theirs but names of files.
        reason = str(error).splitlines()[0].partition("error: ")[2] or "its variables cannot be used"
        raise Unusable(f"{label}: {reason}; {hints.keys}") from None


def _endpoint(*names: str) -> str:
    """The address in the first of these variables that is set; none is empty.

    Raises:
        Unusable: it is no address, or what goes there could be read on the way.
    """
    name, url = next(((name, os.environ[name]) for name in names if os.environ.get(name)), ("", ""))
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise Unusable(f"{name} is {_shown(url)}; an address such as https://s3.example.net is expected, without keys")
    if parts.scheme == "http" and not _is_here(parts.hostname) and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in ("1", "true"):
        raise Unusable(
            f"{name} is {url}; http is for this machine only, since what goes there can be read on the way: use https, "
            "or set AWS_ALLOW_HTTP=true if the network is yours"
        )
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _shown(url: str) -> str:
    """A URL without what may be a secret in it."""
    return re.sub(r"//[^/@]*@", "//…@", url.partition("?")[0])[:200]


_BUCKETS: dict[str, Callable[[str, int], Bucket]] = {"s3": s3, "gs": gcs, "az": azure}
_OPENERS: dict[str, Callable[[str, int], Store]] = {"": _directory, "file": _directory, "memory": _memory, **_BUCKETS}
