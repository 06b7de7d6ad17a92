"""What the routes share: one deployment, the writers that run beside the requests, and the numbers that are watched."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import Scope

from shiftlog.errors import Invalid
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.server import downloads
from shiftlog.server.bodies import Bodies
from shiftlog.server.identity import Keyring
from shiftlog.server.ledger import Ledger
from shiftlog.server.limits import Limits
from shiftlog.server.lists import Lists
from shiftlog.server.monitor import Monitor
from shiftlog.server.origin import Origin
from shiftlog.server.scheduler import Scheduler
from shiftlog.server.strangers import Strangers
from shiftlog.server.threads import Threads

_HOST = re.compile(r"[A-Za-z0-9._~%-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


class Services:
    """Started before the first request, stopped after the last."""

    landing: Landing
    ledger: Ledger
    strangers: Strangers
    keyring: Keyring

    def __init__(self, house: House, *, publish: bool) -> None:
        self.house = house
        downloads.check(house)
        self.threads, self.lists = Threads(), Lists()
        self.monitor = Monitor(house)
        settings = house.settings
        self.limits = Limits(settings, house.catalog)
        self.origin = Origin(settings.trusted_proxies, settings.forwarded_header)
        self.bodies = Bodies(settings.body_bytes, settings.body_seconds, settings.body_bytes_per_second)
        self._scheduler = Scheduler(house, self.monitor, publish=publish, each_minute=lambda: self.strangers.flush())
        self._started = False

    @classmethod
    def of(cls, request: Request) -> Services:
        found: Services = request.app.state.services
        return found

    def start(self) -> None:
        """Start the writers; does nothing where they run."""
        if not self._started:
            self._started = True
            self.landing, self.ledger = Landing(self.house), Ledger(self.house.catalog)
            self.strangers = Strangers(self.ledger)
            self.keyring = Keyring(self.house, self.ledger, self.threads)
            self.limits.start()
            self._scheduler.start()

    def stop(self) -> None:
        """Finish what was begun; does nothing where nothing runs."""
        if self._started:
            self._started = False
            self._scheduler.stop()
            self.limits.stop()
            self.landing.close()
            self.strangers.flush(now=True)
            self.ledger.close()
            self.threads.stop()

    def base_url(self, scope: Scope) -> str:
        """Scheme and host that the client used: the public URL where there is one, else the request's own.

        Raises:
            Invalid: the request names no host, several, or one that is none.
        """
        if self.house.settings.public_url:
            return self.house.settings.public_url.rstrip("/")
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            raise Invalid(f"found the Host header {', '.join(hosts)[:200]!r}; one host, with a port or without, is expected")
        return f"{scope['scheme']}://{hosts[0]}"
