"""The pages: who gets in, what a page shows, and what is said where something is wrong."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pysequoia
import pytest
from visitors import DAY, Browser, browsing, form_token, other_key, sign_in, values

import shiftlog
from readers import land, publish_at
from scenes import HOUR, MINUTE, T0, event, login, logout, sent
from shiftlog.catalog import accounts
from shiftlog.catalog import keys as catalog_keys
from shiftlog.catalog.keys import NewKey
from shiftlog.drawing import THEMES
from shiftlog.events import AgentState
from shiftlog.house import House
from shiftlog.quality import CODES
from shiftlog.series import STATES
from shiftlog.server.app import create_app
from shiftlog.server.pages import assets, frame, gate
from shiftlog.server.pages.compare import COLUMNS
from shiftlog.server.pages.look import CHARTS
from shiftlog.server.pages.quality import MEANINGS

PATHS = (
    "/now",
    f"/day?{DAY}",
    f"/agents/1?{DAY}",
    f"/compare?{DAY}",
    f"/files?{DAY}",
    f"/quality?{DAY}",
    "/docs",
    "/docs/protocol",
    "/docs/api",
)
OWN = [path for path in PATHS if not path.startswith("/docs")]


@pytest.fixture
def browser(house: House, account: str) -> Iterator[Browser]:
    """Nobody is signed in."""
    with browsing(create_app(house, publish=False)) as client:
        yield client


@pytest.fixture
def signed_in(browser: Browser, keys: NewKey) -> Browser:
    """Signed in with the key of account A."""
    assert sign_in(browser, keys).status_code == 303
    return browser


@pytest.fixture
def worked(house: House, account: str) -> House:
    """Agent 1 of group 11 worked for 70 minutes of T0's day, agent 2 of group 12 for 61; both are published."""
    one, two = {"agentGroupID": 11, "agentNickname": "Ada"}, {"agentID": 2, "agentGroupID": 12, "agentNickname": "Bo"}
    land(
        house,
        sent(
            login(T0, **one), event(T0 + 10 * MINUTE, state=2, concurrentEng=1, maxConcurrentEng=3, **one), logout(T0 + 70 * MINUTE, **one)
        ),
    )
    land(house, sent(login(T0 + 2 * HOUR, **two), event(T0 + 2 * HOUR, sequence=1, state=4, **two), logout(T0 + 3 * HOUR + MINUTE, **two)))
    publish_at(house, T0 + 5 * HOUR)
    return house


# ── signing in and out ──


def test_the_first_page_is_now_or_where_one_signs_in(browser: Browser, keys: NewKey) -> None:
    """Who comes without a path is led on."""
    assert browser.get("/").headers["location"] == "/sign-in"
    sign_in(browser, keys)
    assert browser.get("/").headers["location"] == "/now"


def test_a_token_gets_a_cookie_that_scripts_and_other_sites_do_not(browser: Browser, keys: NewKey) -> None:
    """The cookie is for this server alone, ends by itself, and holds nothing of the token."""
    response = sign_in(browser, keys)
    cookie = response.headers["set-cookie"]
    assert (response.status_code, response.headers["location"]) == (303, "/now")
    assert all(text in cookie for text in ("HttpOnly", "SameSite=strict", "Max-Age=43", "Path=/"))
    assert keys.bearer not in cookie
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_secure(house: House, keys: NewKey, browser: Browser) -> None:
    """Where the server is reached by https, no browser sends the cookie without it."""
    assert "Secure" in sign_in(browser.over_https(), keys).headers["set-cookie"]


@pytest.mark.parametrize("token", ["nonsense", "nonsense with spaces", "\N{SNOWMAN}"])
def test_a_wrong_token_is_told_so(browser: Browser, account: str, token: str) -> None:
    """The form comes again and says what was wrong, without the token."""
    response = browser.post("/sign-in", data={"token": token})
    assert response.status_code == 401
    assert "not known" in response.text
    assert token not in response.text
    assert "set-cookie" not in response.headers


def test_no_token_is_told_so(browser: Browser) -> None:
    """An empty form is answered by what it lacks."""
    response = browser.post("/sign-in", data={"token": " "})
    assert response.status_code == 400
    assert "The token is missing" in response.text


def test_an_expired_or_revoked_key_does_not_sign_in(browser: Browser, house: House, keys: NewKey) -> None:
    """The pages let in no key that the API would not."""
    expired = other_key(house, "A", "read", expires=house.catalog.now() - 1)
    with house.catalog.write() as conn:
        catalog_keys.revoke(conn, keys.token, house.catalog.now())
    assert "has expired" in sign_in(browser, expired).text
    assert "was revoked" in sign_in(browser, keys).text


def test_a_key_that_may_not_read_does_not_sign_in(browser: Browser, house: House, account: str) -> None:
    """A producer's key shows nothing."""
    response = sign_in(browser, other_key(house, "A", "write"))
    assert response.status_code == 403
    assert "pages need read" in response.text


def test_a_key_is_remembered_no_longer_than_it_lives(browser: Browser, house: House, account: str) -> None:
    """The cookie ends with its key."""
    response = sign_in(browser, other_key(house, "A", "read", expires=house.catalog.now() + 60_000))
    assert int(re.findall(r"Max-Age=(\d+)", response.headers["set-cookie"])[0]) <= 60


@pytest.mark.parametrize("path", OWN)
def test_who_is_not_signed_in_is_led_there_and_back(browser: Browser, keys: NewKey, path: str) -> None:
    """After signing in one is where one wanted to be."""
    led = browser.get(path)
    assert led.status_code == 303
    form = browser.get(led.headers["location"])
    target = re.findall(r'name="next" value="([^"]*)"', form.text.split("<main", 1)[1])[0].replace("&amp;", "&")
    assert sign_in(browser, keys, next=target).headers["location"] == path


@pytest.mark.parametrize("target", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "now", "/a b", "/\r\nx"])
def test_nobody_is_led_to_another_site(browser: Browser, keys: NewKey, target: str) -> None:
    """Where to go after signing in is a path of this server, or Now."""
    assert sign_in(browser, keys, next=target).headers["location"] == "/now"


def test_signing_out_ends_the_sign_in_everywhere(signed_in: Browser) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    copy = signed_in.cookies["shiftlog_session"]
    out = signed_in.post("/sign-out", data={"form_token": form_token(signed_in.get("/docs"))})
    assert out.headers["location"] == "/sign-in?why=out"
    assert "You are signed out" in signed_in.get(out.headers["location"]).text
    signed_in.cookies.set("shiftlog_session", copy)
    assert signed_in.get("/now").headers["location"].startswith("/sign-in")


def test_signing_out_ends_it_on_other_servers_too(signed_in: Browser, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the catalog; a sign-in that one of them knew to hold, holds there for a second more at most."""
    monkeypatch.setattr(gate, "_REMEMBERED", 0.0)
    with browsing(create_app(house, publish=False)) as elsewhere:
        elsewhere.cookies.set("shiftlog_session", signed_in.cookies["shiftlog_session"])
        assert elsewhere.get("/files").status_code == 200
        signed_in.post("/sign-out", data={"form_token": form_token(signed_in.get("/docs"))})
        assert elsewhere.get("/files").headers["location"].startswith("/sign-in")


def test_a_link_does_not_sign_out(signed_in: Browser) -> None:
    """GET asks first."""
    assert "Sign out?" in signed_in.get("/sign-out").text
    assert signed_in.get("/now").status_code == 200


def test_a_revoked_key_ends_the_sign_in(signed_in: Browser, house: House, keys: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says why, and the dead cookie goes."""
    monkeypatch.setattr("shiftlog.server.identity._REMEMBERED", 0.0)
    with house.catalog.write() as conn:
        catalog_keys.revoke(conn, keys.token, house.catalog.now())
    led = signed_in.get("/now")
    assert "why=ended" in led.headers["location"]
    assert 'shiftlog_session=""' in led.headers["set-cookie"]
    assert "Your sign-in has ended" in signed_in.get(led.headers["location"]).text


@pytest.mark.parametrize("cookie", ["", "x", "1.9999999999999." + "0" * 32 + "." + "0" * 64])
def test_a_cookie_that_we_did_not_make_is_none(browser: Browser, keys: NewKey, cookie: str) -> None:
    """A cookie without our signature signs nobody in."""
    browser.cookies.set("shiftlog_session", cookie)
    assert browser.get("/now").status_code == 303


def test_a_link_on_another_site_is_followed_from_here(browser: Browser) -> None:
    """A browser keeps the cookie back from a request that another site began; the next one begins here."""
    response = browser.get("/now", headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, 'http-equiv="refresh"' in response.text) == (200, True)
    assert browser.get("/now", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


# ── forms from elsewhere ──


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/theme"])
def test_forms_of_other_sites_are_refused(signed_in: Browser, keys: NewKey, path: str, headers: dict[str, str]) -> None:
    """Another site can neither sign anyone in nor out."""
    token = form_token(signed_in.get("/docs"))
    response = signed_in.post(path, data={"token": keys.bearer, "form_token": token}, headers=headers)
    assert response.status_code == 403
    assert "another site" in response.text


@pytest.mark.parametrize("token", ["", "0" * 64, "\N{SNOWMAN}"])
def test_forms_without_the_token_of_the_sign_in_are_refused(signed_in: Browser, token: str) -> None:
    """A form that we did not give this visitor changes nothing."""
    assert signed_in.post("/sign-out", data={"form_token": token}).status_code == 403
    assert signed_in.get("/now").status_code == 200


def test_a_form_that_is_too_long_or_none_is_refused(browser: Browser) -> None:
    """What is no form of ours is not read to its end."""
    assert browser.post("/sign-in", data={"token": "x" * 20_000}).status_code == 413
    assert browser.post("/sign-in", json={"token": "x"}).status_code == 400


def test_a_theme_is_kept_until_another_is_chosen(signed_in: Browser) -> None:
    """Light and dark are marked in the page; without a choice it is the system's."""
    token = form_token(signed_in.get("/docs"))
    response = signed_in.post("/theme", data={"theme": "dark", "next": f"/day?{DAY}", "form_token": token})
    assert response.headers["location"] == f"/day?{DAY}"
    assert '<html lang="en" data-theme="dark">' in signed_in.get("/docs").text
    signed_in.post("/theme", data={"theme": "", "form_token": token})
    assert '<html lang="en">' in signed_in.get("/docs").text
    assert signed_in.post("/theme", data={"theme": "pink", "form_token": token}).status_code == 400


# ── what every page is ──


@pytest.mark.parametrize("path", [*PATHS, "/sign-in", "/nowhere"])
def test_pages_keep_to_themselves(signed_in: Browser, worked: House, path: str) -> None:
    """No page may load or run anything that is not ours, be framed, or be kept by a cache."""
    response = signed_in.get(path, headers={"Accept": "text/html"})
    assert response.headers["content-security-policy"] == frame.POLICY
    assert "unsafe" not in frame.POLICY
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", response.text, re.DOTALL)
    assert all("src=" in attributes and not body for attributes, body in scripts)
    assert not re.search(r'<[^>]* (style|on\w+)="', response.text)
    assert not re.findall(r'(?:src|action)="(?:https?:)?//', response.text)


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_complete_documents(signed_in: Browser, worked: House, path: str) -> None:
    """A title, a way past the navigation, the landmarks, and one first heading."""
    text = signed_in.get(path).text
    assert re.search(r"<title>.+ · shiftlog</title>", text)
    assert '<a class="skip" href="#main">' in text
    assert (text.count("<main"), text.count("<h1"), text.count('<header class="top"')) == (1, 1, 1)
    assert all("scope=" in head for head in re.findall(r"<th\b[^>]*>", text))


def test_names_from_outside_stay_text(signed_in: Browser, house: House) -> None:
    """What agents call themselves is shown and never run."""
    land(house, sent(login(T0, agentNickname="<script>alert(1)</script>"), event(T0 + HOUR, state=2)))
    for path in OWN:
        assert "<script>alert" not in signed_in.get(path).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in signed_in.get(f"/day?{DAY}").text


# ── what they show ──


def test_numbers_are_those_of_the_archive(signed_in: Browser, worked: House) -> None:
    """A page, its chart and the report of the same window cannot differ: they are the same numbers, to the last digit."""
    with shiftlog.open(worked.directory, account="A") as centre:
        window = {"start": T0, "end": T0 + 24 * HOUR, "tz": "UTC"}
        total = centre.metrics(by="account", **window).collect().row(0, named=True)
        rows = centre.metrics(by="agent", **window).collect().sort("agent_id").to_dicts()
    day = values(signed_in.get(f"/day?{DAY}"))
    assert day[:3] == [str(total[name]) for name in ("agents", "login_ms", "availability")]
    compared = values(signed_in.get(f"/compare?{DAY}&sort=login_ms"))
    expected = [row[name] for row in rows for name in COLUMNS if name not in ("agents", "adherence", "conformance")]
    assert compared == [str(value) for value in expected if value is not None]
    agent = signed_in.get(f"/agents/1?{DAY}").text
    assert f'<data value="{rows[0]["online_chat_ms"]}">' in agent


def test_a_group_is_its_own_time_only(signed_in: Browser, worked: House) -> None:
    """An agent who changes groups counts in each with the time spent there, as in a report by group."""
    late = T0 + 10 * HOUR
    land(
        worked,
        sent(
            login(late, agentGroupID=12),
            event(late + HOUR, state=2, agentGroupID=11),
            event(late + 3 * HOUR, type=4, state=1, agentGroupID=11),
        ),
    )
    with shiftlog.open(worked.directory, account="A") as centre:
        groups = centre.metrics(by="group", start=T0, end=T0 + 24 * HOUR, tz="UTC").collect()
    for row in groups.iter_rows(named=True):
        page = signed_in.get(f"/compare?{DAY}&group={row['group_id']}")
        online = re.findall(r'<tr><th scope="row".*?</th>\s*<td class="n"><data value="(\d+)">', page.text, re.DOTALL)
        assert sum(map(int, online)) == row["login_ms"]


def test_a_comparison_is_sorted_and_filtered_by_its_url(signed_in: Browser, worked: House) -> None:
    """Without scripts the URL does it, and says the whole view."""
    names = lambda query: re.findall(r'<th scope="row"[^>]*><a[^>]*>([^<]*)', signed_in.get(f"/compare?{DAY}&{query}").text)  # noqa: E731
    assert names("sort=login_ms&order=desc") == ["Ada", "Bo"]
    assert names("sort=login_ms&order=asc") == ["Bo", "Ada"]
    assert names("q=ad") == ["Ada"]
    assert names("q=2") == ["Bo"]
    assert "Nothing is called so" in signed_in.get(f"/compare?{DAY}&q=zz").text


def test_a_comparison_downloads_as_csv(signed_in: Browser, worked: House) -> None:
    """All numbers, exact, with the names."""
    response = signed_in.get(f"/compare.csv?{DAY}&sort=name&order=desc")
    header, bo, ada = response.text.strip().split("\n")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="shiftlog-A-agents-2026-09-21-2026-09-22.csv"' in response.headers["content-disposition"]
    assert header.startswith("agent_id,name,bucket_start,bucket_ms,login_ms")
    assert (bo.split(",")[1], ada.split(",")[1]) == ("Bo", "Ada")
    assert ada.split(",")[2] == "2026-09-21T00:00:00+00:00"


def test_files_download_with_the_cookie(signed_in: Browser, worked: House) -> None:
    """A browser gets the bytes that a client gets, and only of its own account."""
    page = signed_in.get(f"/files?{DAY}").text
    name = re.findall(r'href="(/files/[^"]+\.gz)"', page)[0]
    response = signed_in.get(name)
    assert b'"agentSessionId"' in gzip.decompress(response.content)
    assert response.headers["content-disposition"].startswith("attachment")
    assert signed_in.get(name.replace(".gz", ".parquet")).content[:4] == b"PAR1"
    stranger = other_key(worked, "B", "read")
    sign_in(signed_in, stranger)
    assert signed_in.get(name).status_code == 404


def test_files_shows_every_hour_of_the_day(signed_in: Browser, worked: House) -> None:
    """Complete, empty and not yet: one look says which hours can be read."""
    page = signed_in.get(f"/files?{DAY}").text
    assert page.count('class="hour complete"') - 1 == 2  # without the legend's
    assert page.count('class="hour empty"') - 1 == 1
    hour = signed_in.get(f"/files?{DAY}&hour={T0 + HOUR}").text
    assert len(re.findall(r'href="/files/[^"]+\.parquet"', hour)) == 1


def test_quality_counts_what_is_doubtful(signed_in: Browser, house: House) -> None:
    """Each kind has its count, and can be looked at alone."""
    land(house, sent(event(T0, state=2, concurrentEng=5, maxConcurrentEng=3), event(T0 + HOUR, state=2, type=4)))
    page = signed_in.get(f"/quality?{DAY}").text
    assert "code=missing_login" in page
    alone = signed_in.get(f"/quality?{DAY}&code=over_capacity").text
    assert "5 chats, the maximum is 3" in alone
    assert "the session begins with type" not in alone


def test_charts_are_the_specifications_of_the_charts(signed_in: Browser, worked: House) -> None:
    """Each chart of a page is there, in both themes, with the page's rows in it; a known one is not sent again."""
    for name in CHARTS:
        for theme in THEMES:
            response = signed_in.get(f"/charts/{name}.json?{DAY}&theme={theme}")
            assert response.json()["background"] == THEMES[theme].background
    again = signed_in.get(f"/charts/timeline.json?{DAY}", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 200
    assert signed_in.get(f"/charts/timeline.json?{DAY}", headers={"If-None-Match": again.headers["etag"]}).status_code == 304
    assert signed_in.get(f"/charts/staffing.svg?{DAY}").text.startswith("<svg")


def test_charts_need_a_sign_in_and_say_so_to_scripts(browser: Browser, account: str) -> None:
    """A script gets the one shape of errors, and no page."""
    response = browser.get(f"/charts/timeline.json?{DAY}")
    assert (response.status_code, response.json()["error"]["internalCode"]) == (401, 10)
    assert browser.get("/now/events").status_code == 401


def test_the_present_is_who_is_logged_in(signed_in: Browser, house: House) -> None:
    """Now counts states and chats, and lists agents with how long they have been so."""
    now = house.catalog.now()
    land(house, sent(login(now - 2 * HOUR), event(now - HOUR, state=2, concurrentEng=2, maxConcurrentEng=3)))
    land(house, sent(login(now - HOUR, agentID=2), event(now - 1000, agentID=2, state=AgentState.AWAY)))
    page = signed_in.get("/now").text
    tiles = dict(re.findall(r'data-key="([^"]+)"><dt>.*?</dt><dd><data value="([^"]+)"', page, re.DOTALL))
    assert (tiles["2"], tiles["4"], tiles["chats"]) == ("1", "1", "2")
    assert f'data-since="{now - HOUR}">1 h 00 min' in page


# ── what bad input gets ──


@pytest.mark.parametrize("path", [path for path in OWN if "agents" not in path])
def test_an_empty_account_is_told_how_to_begin(signed_in: Browser, path: str) -> None:
    """A page without data says how data comes."""
    response = signed_in.get(path)
    assert response.status_code == 200
    assert "No events yet" in response.text
    assert "/api/v1/accounts/A/events" in response.text


def test_an_empty_window_leads_to_the_last_events(signed_in: Browser, worked: House) -> None:
    """Who looks at a day without data is shown the way to the last one with some."""
    page = signed_in.get("/day?from=2026-09-01&tz=UTC").text
    assert "Nobody was logged in" in page
    assert "from=2026-09-21&amp;to=2026-09-22" in page


def test_an_unknown_agent_is_told_so(signed_in: Browser, worked: House) -> None:
    """The page says that nothing is there, and where to look."""
    response = signed_in.get(f"/agents/99?{DAY}")
    assert response.status_code == 404
    assert "has no events" in response.text
    assert "may not be one of this account" in response.text
    assert signed_in.get(f"/agents/none?{DAY}").status_code == 400


def test_a_named_agent_without_events_is_known(signed_in: Browser, house: House) -> None:
    """Who has a name is no stranger on a day off."""
    with house.catalog.write() as conn:
        accounts.name(conn, "A", [("agent", 7, 0, "Grace")])
    response = signed_in.get(f"/agents/7?{DAY}")
    assert response.status_code == 200
    assert "Grace has no events" in response.text


def test_another_accounts_url_is_not_there(signed_in: Browser, worked: House) -> None:
    """A shared URL shows its own account or nothing; one that exists looks like one that does not."""
    other_key(worked, "B", "read")
    for account in ("B", "nobody"):
        response = signed_in.get(f"/day?account={account}&{DAY}")
        assert response.status_code == 404
        assert f"There is no account {account}" in response.text
        assert "Sign in with another key" in response.text
    assert signed_in.get(f"/day?account=A&{DAY}").status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "is not a time"),
        ("from=2026-09-21&to=2026-09-20", "window is empty"),
        ("from=9999-01-01", "1970 to 2199"),
        ("tz=Mars/Olympus", "is not known"),
        ("group=x", "a whole number is expected"),
        ("sort=nonsense", "allowed: name, login_ms"),
        ("order=up", "allowed: asc, desc"),
        ("by=planet", "allowed: agent, group, profile"),
    ],
)
def test_a_wrong_parameter_is_told_what_is_allowed(signed_in: Browser, worked: House, query: str, said: str) -> None:
    """The page names what was found and what is expected, and leads back."""
    response = signed_in.get(f"/compare?{query}")
    assert response.status_code == 400
    assert said in response.text
    assert 'href="/compare"' in response.text


def test_a_window_too_large_is_refused(house: House, keys: NewKey, worked: House) -> None:
    """A page says how much it shows at most, and who shows more."""
    small = replace(house, settings=house.settings.model_copy(update={"view_events": 2}))
    with browsing(create_app(small, publish=False)) as client:
        sign_in(client, keys)
        response = client.get(f"/day?{DAY}")
    assert response.status_code == 413
    assert "holds about 6 events, and pages show windows of up to 2" in response.text
    assert "shiftlog report" in response.text


def test_a_calendar_too_long_is_refused(signed_in: Browser, worked: House) -> None:
    """Files shows two months at most."""
    response = signed_in.get("/files?from=2026-01-01&to=2026-09-01&tz=UTC")
    assert response.status_code == 413


def test_a_watermark_hours_behind_is_said_on_every_page(signed_in: Browser, house: House) -> None:
    """Who looks at numbers whose files are late is told so, and whom to ask."""
    now = house.catalog.now()
    land(house, sent(login(now - 20 * HOUR)))
    publish_at(house, now - 10 * HOUR)
    for path in OWN:
        assert "watermark is 1" in signed_in.get(path).text
    assert 'class="hour missing"' in signed_in.get("/files").text


def test_what_is_not_there_is_a_page_for_browsers_only(signed_in: Browser) -> None:
    """A program gets the one shape of errors for the same path."""
    page = signed_in.get("/nowhere", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert signed_in.get("/nowhere", headers={"Accept": "*/*"}).json()["error"]["internalCode"] == 20
    assert signed_in.get("/docs/nothing").status_code == 404
    assert signed_in.get("/files/nothing.gz").status_code == 404
    assert signed_in.get("/charts/pie.json").status_code == 400


def test_a_fault_is_a_page_with_the_requests_id(signed_in: Browser, worked: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is logged, and shown without its inside."""
    monkeypatch.setattr("shiftlog.server.pages.day._numbers", lambda *_: 1 / 0)
    response = signed_in.get(f"/day?{DAY}")
    assert response.status_code == 500
    assert response.headers["x-request-id"] in response.text
    assert "division" not in response.text


# ── what stands in two places ──


def test_the_style_has_the_colours_of_the_charts() -> None:
    """A state has one colour, on a page and in a chart."""
    style = (assets._OURS / "style.css").read_text()
    for name in STATES:
        light, dark = (THEMES[theme].states[name] for theme in ("light", "dark"))
        assert f"--{name.replace(' ', '-')}: light-dark({light}, {dark});" in style


def test_every_kind_of_finding_has_a_meaning() -> None:
    """The page explains what the report counts."""
    assert tuple(MEANINGS) == CODES


def test_assets_are_kept_for_ever_under_their_content(browser: Browser) -> None:
    """An asset's path changes with what it holds, so that nobody has to ask for it again."""
    path = re.findall(r'href="(/static/[^"]+\.css)"', browser.get("/sign-in").text)[0]
    response = browser.get(path)
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-type"] == "text/css; charset=utf-8"
    assert browser.get(re.sub(r"/static/\w+/", "/static/0000000000000000/", path)).status_code == 404


def test_documents_lead_to_each_other_here(browser: Browser) -> None:
    """Links between the documents stay within the pages, and their anchors are there."""
    protocol = browser.get("/docs/protocol").text
    anchors = set(re.findall(r'id="([^"]+)"', protocol))
    assert {
        target
        for target in re.findall(r"<article.*?</article>", protocol, re.DOTALL)[0].split('href="#')[1:]
        if target.split('"')[0] not in anchors
    } == set()
    assert ".md" not in "".join(re.findall(r'href="([^"]*)"', protocol + browser.get("/docs/metrics").text))


def test_the_api_page_has_every_operation(browser: Browser) -> None:
    """What OpenAPI says to programs is said to people."""
    document = json.loads(browser.get("/api/openapi.json").text)
    page = browser.get("/docs/api").text
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in page


def test_files_of_an_encrypted_account_are_offered_as_they_are_served(signed_in: Browser, worked: House) -> None:
    """With the ending that the list has, and what the link leads to is there."""
    public = str(pysequoia.Cert.generate("A reader <reader@example.net>"))
    with worked.catalog.write() as conn:
        accounts.update(conn, "A", {"pgp_key": public})
    found = re.search(r'href="(/files/Agent[^"]*)"', signed_in.get(f"/files?{DAY}").text)
    assert found is not None
    assert found[1].endswith(".gz.pgp")
    answer = signed_in.get(found[1])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pgp-encrypted")
