"""How the bytes of files reach clients: through this server, or from the bucket itself (setting `downloads`).

An address in the bucket is made at the moment of asking, lives as long as a slow download takes, and opens one object to whoever has
it: it is a secret, and is never logged.
"""

from __future__ import annotations

from shiftlog.errors import Unusable
from shiftlog.house import House
from shiftlog.settings import Settings

_LONGEST = 7 * 24 * 3600  # seconds: services sign for no longer


def check(house: House) -> None:
    """Return if files can be handed out as the settings say.

    Raises:
        Unusable: the store cannot make addresses for others, or has no key to sign them with.
    """
    if house.settings.downloads == "redirect" and house.store.signed("probe", 60) is None:
        raise Unusable(
            f"SHIFTLOG_DOWNLOADS is redirect, which needs a store that signs addresses (s3://, gs://, az://); found {house.store.label}: "
            "set SHIFTLOG_DOWNLOADS=stream, or use another store"
        )


def address(house: House, key: str, size: int) -> str | None:
    """Where a client gets an object of `size` bytes by itself; None where it gets it from here."""
    if house.settings.downloads != "redirect":
        return None
    return house.store.signed(key, life(house.settings, size))


def life(settings: Settings, size: int) -> int:
    """Seconds for which an address is good: time to read and look around, or a download at the slowest rate."""
    return min(max(settings.download_seconds, -(-size // settings.download_bytes_per_second)), _LONGEST)
