"""What the browser tests look at, and how: a site, a visit of it, and what must never be seen during one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx
import polars as pl
from playwright.sync_api import Browser, Page, sync_playwright

import shiftlog
from shiftlog.archive import Archive
from shiftlog.catalog import accounts, keys
from shiftlog.catalog.keys import NewKey
from shiftlog.house import House
from shiftlog.landing import Landing
from shiftlog.lease import Worker
from shiftlog.publish import publish
from shiftlog.server.pages.view import days_after, midnight, wall
from shiftlog.settings import Settings
from shiftlog.simulate import simulate

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass(frozen=True, slots=True)
class Site:
    """A running server, a key of its one account, its data directory, and two beginnings of days in its zone (epoch ms)."""

    url: str
    key: NewKey
    directory: Path
    yesterday: int
    today: int
    zone: str

    @property
    def query(self) -> str:
        """The query of yesterday."""
        return urlencode({"from": self.date, "tz": self.zone}, safe="/")

    @property
    def date(self) -> str:
        return wall(self.yesterday, self.zone)

    def open(self) -> Archive:
        """The same data, asked from Python."""
        return shiftlog.open(self.directory, account="demo")


@contextmanager
def simulated(directory: Path, *, agents: int, zone: str = "Europe/Berlin") -> Iterator[Site]:
    """A served contact centre, from yesterday's beginning up to now; what is due is published."""
    house = House.open(directory, create=True, settings=Settings(lead_milliseconds=0))
    now = house.catalog.now()
    today = midnight(now, zone)
    yesterday = days_after(today, -1, zone)
    with house.catalog.write() as conn:
        accounts.ensure(conn, "demo", now, house.settings)
        accounts.update(conn, "demo", {"time_zone": zone})
        key = keys.create(conn, house.vault, "demo", ["read", "write"], now)
    landing = Landing(house)
    landing.accept("demo", simulate("demo", agents=agents, days=2, start=yesterday, seed=5).events.filter(pl.col("timestamp") <= now))
    landing.close()
    with Worker(house) as worker:
        publish(worker, "demo")
    house.close()
    with _serving(directory) as url:
        yield Site(url, key, directory, yesterday, today, zone)


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    """`shiftlog serve` of a data directory, on a port of its own; ended by SIGTERM, which it has to obey while pages are open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("shiftlog")), "serve", "--data", str(directory), "--port", str(port), "--no-publish"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(url := f"http://127.0.0.1:{port}")
        yield url
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium without a screen, with a profile of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*_FLAGS])
        yield browser
        browser.close()


@dataclass(slots=True)
class Visit:
    """A visit in progress: the page, the size and theme it is seen in, and what went wrong so far."""

    site: Site
    page: Page
    wrong: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Go to a path, and wait until its charts are drawn."""
        self.page.goto(f"{self.site.url}{path}")
        self.drawn()

    def drawn(self) -> None:
        if self.page.locator("figure[data-chart]").count():
            self.page.wait_for_selector("html[data-drawn]", timeout=30_000)

    def sign_in(self) -> None:
        self.page.goto(self.site.url)
        self.page.get_by_label("Bearer token").fill(self.site.key.bearer)
        self.page.get_by_role("main").get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/now")

    def values(self, selector: str) -> list[str]:
        """The exact numbers behind what is shown."""
        found: list[str] = self.page.eval_on_selector_all(f"{selector} data", "all => all.map(data => data.value)")
        return found

    def fits(self) -> bool:
        """Whether nothing reaches beyond the window's width."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@contextmanager
def visiting(chromium: Browser, site: Site, *, size: dict[str, int] = WIDE, theme: str = "light", scripts: bool = True) -> Iterator[Visit]:
    """A visit with a fresh profile. At its end, nothing may have gone wrong: no error on the console, no request to elsewhere."""
    context = chromium.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=scripts,
        locale="en-GB",
    )
    visit = Visit(site, context.new_page())
    visit.page.on("pageerror", lambda error: visit.wrong.append(str(error)))
    visit.page.on("console", lambda message: message.type in ("error", "warning") and visit.wrong.append(message.text))
    visit.page.on(
        "request", lambda request: None if request.url.startswith((site.url, "data:", "blob:")) else visit.wrong.append(request.url)
    )
    yield visit
    context.close()
    assert visit.wrong == []
