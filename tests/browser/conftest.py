"""A site with two simulated days, a server of it in its own process, and Debian's Chromium to look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from site_under_test import CHROMIUM, Site, launched, simulated


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, which goes with it: and with it the event loop that it leaves running in this thread."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}; scripts/browser.sh installs it")
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A contact centre of 40 agents, from yesterday's beginning up to now."""
    with simulated(tmp_path_factory.mktemp("site") / "data", agents=40) as found:
        yield found
