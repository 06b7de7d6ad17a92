"""Pictures of every page, light and dark: docs/images/pages-{page}-{theme}.png, of a simulated centre of 120 agents.

make screenshots
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from site_under_test import WIDE, Site, Visit, launched, simulated, visiting  # noqa: E402 (where the tests keep it)

from shiftlog.pictures import repacked  # noqa: E402 (as above)

IMAGES = ROOT / "docs" / "images"
TALL = {"width": WIDE["width"], "height": 1080}


def paths(site: Site) -> dict[str, str]:
    """The pages by the names of their pictures."""
    with site.open() as centre:
        found = centre.metrics(start=site.yesterday, end=site.today).collect()
    agent = found.sort("chats_started")["agent_id"][-1]
    return {
        "now": "/now",
        "day": f"/day?{site.query}",
        "agent": f"/agents/{agent}?{site.query}",
        "compare": f"/compare?{site.query}",
        "files": "/files",
        "quality": f"/quality?{site.query}",
        "docs": "/docs",
    }


def take(visit: Visit, name: str, theme: str) -> None:
    """Write what is seen to its file."""
    picture = repacked(visit.page.screenshot())
    (IMAGES / f"pages-{name}-{theme}.png").write_bytes(picture)


def zone() -> str:
    """A zone in which it is about two in the afternoon: agents are at work."""
    around = ("Pacific/Auckland", "Asia/Tokyo", "Asia/Kolkata", "Europe/Berlin", "America/Sao_Paulo", "America/Chicago", "Pacific/Honolulu")
    return min(around, key=lambda name: abs(datetime.now(ZoneInfo(name)).hour - 14))


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        simulated(Path(scratch) / "data", agents=120, zone=zone()) as site,
        launched() as chromium,
    ):
        for theme in ("light", "dark"):
            with visiting(chromium, site, size=TALL, theme=theme) as visit:
                visit.page.goto(f"{site.url}/sign-in")
                take(visit, "sign-in", theme)
                visit.sign_in()
                for name, path in paths(site).items():
                    visit.go(path)
                    visit.page.wait_for_timeout(300)
                    take(visit, name, theme)


if __name__ == "__main__":
    main()
