"""One deployment: its store, its catalog, its secrets and its settings; by default all in one data directory.

DIR/objects/         the store: landing batches, parts, twins, carried sessions
DIR/catalog.sqlite   the catalog
DIR/secret.key       the key that secrets are encrypted with
DIR/locks/           one lock file a publisher, held as long as its process lives
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shiftlog.catalog import Catalog
from shiftlog.catalog.vault import Vault
from shiftlog.errors import Unusable
from shiftlog.settings import Settings
from shiftlog.store import Store, open_store

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class House:
    """An open deployment."""

    directory: Path
    store: Store
    catalog: Catalog
    vault: Vault
    settings: Settings

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        create: bool = False,
        settings: Settings | None = None,
        store: str | None = None,
        catalog: str | None = None,
    ) -> House:
        """The deployment of a data directory; `store` and `catalog` are URLs of others than its own.

        Raises:
            Unusable: there is none (and `create` is false), it cannot be written, or is of a newer version.
        """
        directory = directory.expanduser().absolute()
        if create:
            _make_private(directory)
            _make_private(directory / "locks")
        elif not directory.is_dir():
            raise Unusable(f"there is no data directory {directory}; it comes with the first key: shiftlog keys create --data {directory}")
        opened = Catalog.open(catalog or str(directory / "catalog.sqlite"), create=create)
        _make_private(directory / "locks")  # after the catalog: a directory that is no deployment is left as it is
        objects = open_store(store or str(directory / "objects"))
        return cls(directory, objects, opened, Vault.open(directory / "secret.key"), settings or Settings())

    def twins(self, keys: Iterable[str]) -> pl.LazyFrame:
        """The rows of Parquet objects of one schema, in one scan; at least one.

        Raises:
            Missing: an object is not there.
        """
        import polars as pl

        sources = [self.store.source(key) for key in keys]
        return pl.scan_parquet([source if isinstance(source, str) else io.BytesIO(source) for source in sources])  # type: ignore[arg-type]

    def close(self) -> None:
        self.catalog.close()


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"the directory {directory} cannot be written: {error.strerror}") from None
