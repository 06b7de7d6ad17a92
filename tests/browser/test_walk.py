"""The pages in a browser, as people walk through them: what is seen is what the archive says."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from site_under_test import PHONE, WIDE, Site, Visit, visiting

from shiftlog.catalog import parts
from shiftlog.house import House
from shiftlog.names import PartName

LOOKS = [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")]
PATIENCE = 60_000  # ms
NAMES = ["wide light", "wide dark", "phone light", "phone dark"]


@pytest.mark.parametrize(("size", "theme"), LOOKS, ids=NAMES)
def test_a_walk_from_sign_in_to_sign_out(chromium: Browser, site: Site, size: dict[str, int], theme: str) -> None:
    """Sign in, Now, Day, Agent, Files, a download, sign out: the numbers are the archive's, and nothing goes wrong."""
    with visiting(chromium, site, size=size, theme=theme) as visit:
        visit.sign_in()
        expect(visit.page.locator("#connection")).to_have_text("Live")
        visit.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Day").click()
        visit.page.get_by_role("link", name="Yesterday").click()
        visit.drawn()
        agent = sees_the_day(visit)
        visit.page.locator(f'a[href^="/agents/{agent}?"]').click()
        visit.drawn()
        sees_the_agent(visit, agent)
        visit.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Files").click()
        downloads_a_file(visit)
        visit.page.get_by_role("button", name="Sign out").click()
        expect(visit.page.get_by_text("You are signed out")).to_be_visible()
        visit.page.goto(f"{site.url}/now")
        expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()


def sees_the_day(visit: Visit) -> int:
    """The day's tiles and table have the archive's numbers. Returns an agent of it."""
    site = visit.site
    with site.open() as centre:
        window = {"start": site.yesterday, "end": site.today, "tz": site.zone}
        total = centre.metrics(by="account", **window).collect().row(0, named=True)
        agents = centre.metrics(by="agent", **window).collect()
    tiles = ("agents", "login_ms", "availability", "occupancy", "utilization", "concurrency", "chats_started", "chat_handle_ms")
    assert visit.values(".tiles") == [str(total[name]) for name in tiles]
    assert visit.fits()
    busiest = agents.sort("login_ms", descending=True).row(0, named=True)
    row = visit.page.locator("table[data-sortable] tr", has=visit.page.locator(f'a[href^="/agents/{busiest["agent_id"]}?"]'))
    shown = row.locator("data").evaluate_all("all => all.map(data => data.value)")
    columns = ("login_ms", "online_ms", "availability", "occupancy", "utilization", "concurrency", "chats_started", "chat_handle_ms")
    assert shown == [str(busiest[name]) for name in columns if busiest[name] is not None]
    assert visit.page.locator("figure canvas").count() == 4
    return int(busiest["agent_id"])


def sees_the_agent(visit: Visit, agent: int) -> None:
    """All of the agent's numbers are the archive's, and each is explained."""
    site = visit.site
    with site.open() as centre:
        found = centre.metrics(start=site.yesterday, end=site.today, tz=site.zone).collect()
        row = found.filter(found["agent_id"] == agent).row(0, named=True)
    for name in ("availability", "occupancy_handle", "occupancy_paid", "at_capacity", "online_chat_ms", "status_changes"):
        line = visit.page.get_by_role("row", name=name, exact=False).filter(has=visit.page.get_by_text(name, exact=True)).first
        assert line.locator("data").get_attribute("value") == str(row[name])
    visit.page.get_by_text("occupancy_paid", exact=True).focus()
    expect(visit.page.locator(".tip")).to_contain_text("chatting / login")
    assert visit.fits()


def downloads_a_file(visit: Visit) -> None:
    """What the browser saves is what was published."""
    link = visit.page.locator('a[href^="/files/"][href$=".gz"]').first
    with visit.page.expect_download() as saved:
        link.click()
    name = PartName.parse(saved.value.suggested_filename.removesuffix(".gz"))
    house = House.open(visit.site.directory)
    with house.catalog.read() as conn:
        part = parts.find(conn, "demo", name, house.catalog.now(conn))
    house.close()
    assert part is not None
    assert sha256(Path(saved.value.path()).read_bytes()).hexdigest() == part.gz_sha256
    assert visit.fits()


def test_now_changes_by_itself_when_an_event_arrives(chromium: Browser, site: Site) -> None:
    """An agent who logs in appears on a page that is open, and whose state changes is seen to change.

    How soon that is, bench/web.py measures: here it may take as long as a busy machine needs.
    """
    with visiting(chromium, site) as visit:
        visit.sign_in()
        expect(visit.page.locator("#connection")).to_have_text("Live")
        post(site, {"agentID": 77, "agentNickname": "Zelda", "type": 3, "state": 0})
        row = visit.page.locator('tr[data-key="77"]')
        expect(row).to_contain_text("before first status", timeout=PATIENCE)
        expect(row).to_contain_text("Zelda", timeout=PATIENCE)
        row.get_by_role("link").focus()
        post(site, {"agentID": 77, "type": 1, "state": 2, "concurrentEng": 2, "maxConcurrentEng": 3})
        expect(row).to_contain_text("online", timeout=PATIENCE)
        # Who has got to a row with the keyboard is still there.
        expect(row.get_by_role("link")).to_be_focused()


def post(site: Site, event: dict[str, object]) -> None:
    """An event that happens now."""
    body = json.dumps({**event, "timestamp": time.time_ns() // 1_000_000})
    headers = {"Authorization": f"Bearer {site.key.bearer}", "Content-Type": "application/x-ndjson"}
    assert httpx.post(f"{site.url}/api/v1/accounts/demo/events", content=body, headers=headers).json() == {"accepted": 1}


@pytest.mark.parametrize(("size", "theme"), [LOOKS[0], LOOKS[3]], ids=[NAMES[0], NAMES[3]])
def test_no_page_has_a_serious_accessibility_violation(chromium: Browser, site: Site, size: dict[str, int], theme: str) -> None:
    """axe-core finds nothing serious on any page, and every page fits its window."""
    with visiting(chromium, site, size=size, theme=theme) as visit:
        visit.page.goto(f"{site.url}/sign-in")
        found = {"/sign-in": serious(visit)}
        visit.sign_in()
        for path in paths(site, every=size == WIDE):
            visit.go(path)
            found[path] = serious(visit)
            assert visit.fits(), path
        # Pages that say what is wrong are answered by a status that a console takes for an error.
        visit.wrong = [line for line in visit.wrong if "400 (Bad Request)" not in line and "404 (Not Found)" not in line]
    assert {path: violations for path, violations in found.items() if violations} == {}


def paths(site: Site, *, every: bool) -> list[str]:
    """The pages; with `every` also their lesser forms, and what is said where something is wrong."""
    with site.open() as centre:
        agent = centre.metrics(start=site.yesterday, end=site.today).collect()["agent_id"][0]
    day = site.query
    main = ["/now", f"/day?{day}", f"/agents/{agent}?{day}", f"/compare?{day}", "/files", f"/quality?{day}", "/docs"]
    lesser = [f"/compare?{day}&by=group", "/docs/protocol", "/docs/metrics", "/docs/api", "/sign-out"]
    wrong = [f"/agents/99999?{day}", f"/day?{day}&group=77", "/day?tz=x"]
    return main + lesser + wrong if every else main


def serious(visit: Visit) -> list[str]:
    """What axe-core finds on the page, of the two worst kinds."""
    results = Axe().run(visit.page)
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in results.response["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_a_row_of_the_timeline_leads_to_its_agent(chromium: Browser, site: Site) -> None:
    """The chart says whose time it is, and clicking it goes there."""
    with visiting(chromium, site) as visit:
        visit.sign_in()
        visit.go(f"/day?{site.query}")
        chart = visit.page.locator("figure canvas").first
        box = chart.bounding_box()
        assert box is not None
        place = {"x": box["width"] * 0.5, "y": box["height"] * 0.45}
        chart.hover(position=place)  # type: ignore[arg-type]
        name = visit.page.locator(".tip dd").first.inner_text()
        chart.click(position=place)  # type: ignore[arg-type]
        visit.page.wait_for_url("**/agents/**")
        assert visit.page.locator("h1").inner_text() in name


def test_a_table_sorts_and_filters_at_once_and_its_address_follows(chromium: Browser, site: Site) -> None:
    """What a click shows is what its URL shows to someone else."""
    with visiting(chromium, site) as visit:
        visit.sign_in()
        visit.go(f"/compare?{site.query}")
        visit.page.get_by_role("link", name="Occupancy (paid)").click()
        first = "table[data-sortable] tbody tr:not([hidden]) th"
        shown = visit.page.locator(first).all_inner_texts()
        assert "sort=occupancy_paid" in visit.page.url
        visit.page.reload()
        assert visit.page.locator(first).all_inner_texts() == shown
        wanted = shown[3].split()[-1]
        visit.page.get_by_label("Find").fill(wanted)
        expect(visit.page.locator(first)).to_have_count(1)
        expect(visit.page.locator("#shown")).to_contain_text("1 of ")


def test_the_keyboard_reaches_everything(chromium: Browser, site: Site) -> None:
    """The first stop leads past the navigation, and an explanation is shown on focus and hidden by Escape."""
    with visiting(chromium, site) as visit:
        visit.sign_in()
        visit.go(f"/day?{site.query}")
        visit.page.keyboard.press("Tab")
        expect(visit.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        visit.page.keyboard.press("Enter")
        expect(visit.page.locator("main")).to_be_focused()
        visit.page.locator(".tiles").get_by_text("Occupancy", exact=True).focus()
        expect(visit.page.locator(".tip")).to_contain_text("occupancy = online_chatting / online")
        visit.page.keyboard.press("Escape")
        expect(visit.page.locator(".tip")).to_be_hidden()


def test_pages_work_without_scripts(chromium: Browser, site: Site) -> None:
    """Numbers, tables, sorting and pictures of the charts are there; only what goes on by itself does not."""
    with visiting(chromium, site, scripts=False) as visit:
        visit.sign_in()
        visit.page.goto(f"{site.url}/day?{site.query}")
        assert visit.page.locator("figure noscript img").count() == 4 or visit.page.locator("figure img").count() == 4
        visit.page.get_by_role("link", name="Occupancy", exact=True).click()
        assert "sort=occupancy" in visit.page.url


def test_a_chosen_theme_holds_against_the_systems(chromium: Browser, site: Site) -> None:
    """Dark by choice is dark in the charts too, on the next page as well, until Auto."""
    with visiting(chromium, site, theme="light") as visit:
        visit.sign_in()
        visit.go(f"/day?{site.query}")
        visit.page.get_by_role("button", name="Dark").click()
        assert "/day" in visit.page.url
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = visit.page.evaluate(ground)
        visit.page.goto(f"{site.url}/docs")
        assert visit.page.evaluate(ground) == dark
        visit.page.get_by_role("button", name="Auto").click()
        assert visit.page.evaluate(ground) != dark
