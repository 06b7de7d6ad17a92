"""One deployment: its store, its catalog, its secrets and its settings; by default all in one data directory.

DIR/objects/         the store: landing batches, parts, twins, carried sessions
DIR/catalog.sqlite   the catalog
DIR/secret.key       the key that secrets are encrypted with
DIR/locks/           one lock file a publisher, held as long as its process lives

Catalog and store may be elsewhere, by URL (SHIFTLOG_CATALOG, SHIFTLOG_STORE); then the directory holds what is left, and nothing where
the secret key is elsewhere, too (SHIFTLOG_SECRET_KEY, SHIFTLOG_SECRET_KEY_FILE). A catalog, a store and a secret key belong together: the
first two bear the same mark, made once, and the catalog has a seal that this key alone opens.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shiftlog.catalog import Catalog, accounts, chained, deployment
from shiftlog.catalog.vault import VARIABLE, Vault
from shiftlog.errors import Invalid, Missing, ShiftlogError, Unusable
from shiftlog.settings import Settings, load
from shiftlog.store import Store, open_store, scan

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class House:
    """An open deployment."""

    directory: Path | None
    store: Store
    catalog: Catalog
    vault: Vault
    settings: Settings

    @classmethod
    def open(
        cls,
        directory: Path | None,
        *,
        create: bool = False,
        settings: Settings | None = None,
        store: str | None = None,
        catalog: str | None = None,
    ) -> House:
        """The deployment of a data directory; `store` and `catalog` are URLs of others than its own (default: as the settings say).

        Raises:
            Invalid: something is in the directory, and none is given; or a setting has a value that cannot be used.
            Unusable: there is none (and `create` is false), it cannot be written, is of a newer version, or catalog and store are not
                of one deployment, or the secret key is not its own.
        """
        known = settings or load()
        catalog = catalog or known.catalog.get_secret_value() or None
        store = store or known.store or None
        if directory is not None:
            directory = directory.expanduser().absolute()
            _check(directory, create=create or catalog is not None)
        opened = Catalog.open(
            catalog or str(_within(directory, "catalog.sqlite")),
            create=create,
            connections=known.catalog_connections,
            patience=known.catalog_seconds,
        )
        try:
            if opened.one_machine:
                _make_private(_within(directory, "locks"))  # after the catalog: a directory that is no deployment is left as it is
            objects = open_store(store or str(_within(directory, "objects")), room=known.store_memory_bytes)
            _belong(opened, objects)
            vault = _vault(opened, _key_file(directory, known))
            _sign(opened, vault)
            return cls(directory, objects, opened, vault, known)
        except ShiftlogError:
            opened.close()
            raise

    def twins(self, keys: Iterable[str]) -> pl.LazyFrame:
        """The rows of Parquet objects of one schema, in one scan; at least one.

        Raises:
            Missing: an object is not there.
        """
        return scan(self.store, keys)

    def within(self, name: str) -> Path:
        """A file or folder of the data directory.

        Raises:
            Invalid: there is no data directory.
        """
        return _within(self.directory, name)

    def close(self) -> None:
        self.catalog.close()


def _check(directory: Path, *, create: bool) -> None:
    if create:
        _make_private(directory)
    elif not directory.is_dir():
        raise Unusable(f"there is no data directory {directory}; it comes with the first key: shiftlog keys create --data {directory}")


def _within(directory: Path | None, name: str) -> Path:
    if directory is None:
        raise Invalid(
            "--data DIR (or SHIFTLOG_DATA) is expected; it can be left out only where --catalog, --store and the variable "
            f"{VARIABLE} say where everything is"
        )
    return directory / name


def _belong(catalog: Catalog, store: Store) -> None:
    """Return if catalog and store are of one deployment; new ones are marked as such.

    Raises:
        Unusable: they are not.
    """
    with catalog.read() as conn:
        mine = deployment.mark(conn)
        empty = not accounts.every(conn)
    try:
        theirs = store.get(deployment.OBJECT).decode()
    except Missing:
        theirs = None
    if mine is None:
        # The catalog comes first: of two who begin at once, both then write the same mark.
        with catalog.write() as conn:
            mine = deployment.make_mark(conn, theirs or secrets.token_hex(16))
    elif theirs is None and not empty:
        raise Unusable(f"the store is not the one that the catalog belongs to (deployment {mine}): it has no mark; check the store's URL")
    if theirs is None:
        store.put(deployment.OBJECT, mine.encode())
    elif theirs != mine:
        raise Unusable(
            f"the catalog is of deployment {mine}, the store of deployment {theirs}; they do not belong together: check the URLs of both"
        )


def _key_file(directory: Path | None, known: Settings) -> Path | None:
    if known.secret_key_file:
        return Path(known.secret_key_file).expanduser()
    return None if directory is None else directory / "secret.key"


def _vault(catalog: Catalog, file: Path | None) -> Vault:
    """The vault of the key that this deployment was made with; the first key that comes is that one.

    Raises:
        Unusable: there is no key, or another.
    """
    with catalog.read() as conn:
        seal = deployment.seal(conn)
    vault = Vault.open(file, create=seal is None)
    if seal is None:
        with catalog.write() as conn:
            seal = deployment.make_seal(conn, vault.encrypt("shiftlog"))
    vault.decrypt(seal)
    return vault


def _sign(catalog: Catalog, vault: Vault) -> None:
    """Sign what versions before the chain have published; migrations cannot, which have no key."""
    with catalog.read() as conn:
        unsigned = chained.unsigned(conn)
    for account in unsigned:
        with catalog.write() as conn:
            chained.complete(conn, vault, account, catalog.now(conn))


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"the directory {directory} cannot be written: {error.strerror}") from None
