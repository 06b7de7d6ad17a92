"""The doctor: what is well, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from readers import all_parts, land, publish_at
from scenes import HOUR, T0, login, logout, sent
from shiftlog import doctor
from shiftlog.catalog import deployment, forgetting
from shiftlog.doctor import Finding, Verdict
from shiftlog.erasure import forget
from shiftlog.errors import Later
from shiftlog.house import House
from shiftlog.lease import Worker


@pytest.fixture
def published(house: House, account: str) -> House:
    """A deployment that has published an hour long ago, and nothing since."""
    land(house, sent(login(T0), logout(T0 + HOUR)))
    publish_at(house, T0 + 3 * HOUR)
    return house


def wrong(house: House) -> list[Finding]:
    """What is wrong with the deployment; kernels are the machine's."""
    return [finding for finding in doctor.examine(house) if finding.verdict is not Verdict.OK and finding.check != "kernels"]


@pytest.mark.parametrize(("library", "verdict"), [(None, Verdict.WARNING), (object(), Verdict.OK)])
def test_a_machine_without_kernels_is_told(house: House, library: object, verdict: Verdict, monkeypatch: pytest.MonkeyPatch):
    """What that costs, and what to do."""
    monkeypatch.setattr(doctor.kernels, "load", lambda: library)
    [finding] = [finding for finding in doctor.examine(house) if finding.check == "kernels"]
    assert finding.verdict is verdict
    assert ("compiler" in finding.advice) == (library is None)


def test_a_new_deployment_is_well(house: House):
    """Every check has a finding, and the one without an account is told how to begin."""
    found = list(doctor.examine(house))
    assert {finding.check for finding in found} >= {"version", "permissions", "catalog", "sqlite", "clock", "store", "disk", "accounts"}
    assert doctor.healthy(found)


def test_it_leaves_nothing_behind(house: House):
    """The probe goes, and the catalog is as it was."""
    list(doctor.examine(house))
    assert [found.key for found in house.store.list()] == [deployment.OBJECT]
    with house.catalog.read() as conn:
        assert "shiftlog_doctor" not in doctor.sa.inspect(conn).get_table_names()


def test_a_publisher_that_does_not_keep_up_is_named(published: House):
    """With the account, how far it is, and what to look at."""
    [finding] = wrong(published)
    assert (finding.check, finding.verdict) == ("account A", Verdict.FAILED)
    assert "published up to 2026-" in finding.found
    assert "shiftlog serve" in finding.advice


def test_an_agent_who_is_half_forgotten_is_named(published: House):
    """As after a command that was stopped."""
    with published.catalog.write() as conn:
        forgetting.begin(conn, published.vault, "A", 1, removed=False, now=T0)
    [finding] = [finding for finding in doctor.examine(published) if finding.check == "forgotten"]
    assert (finding.verdict, "an agent of A" in finding.found, "forget again" in finding.advice) == (Verdict.FAILED, True, True)
    with Worker(published) as worker:
        forget(worker, "A", 1)
    assert [finding.verdict for finding in doctor.examine(published) if finding.check == "forgotten"] == [Verdict.OK]


def test_lost_bytes_are_named(published: House):
    """By the part that they were of."""
    [part] = all_parts(published)
    published.store.delete([part.twin_key])
    [finding] = [finding for finding in wrong(published) if finding.check == "objects"]
    assert finding.verdict is Verdict.FAILED
    assert str(part.name) in finding.found


def test_what_others_can_read_is_named(house: House):
    """With the command that changes it."""
    (house.directory / "secret.key").chmod(0o644)
    [finding] = wrong(house)
    assert finding.advice.endswith(f"chmod 600 {house.directory}/secret.key")


@dataclass(frozen=True)
class Refusing:
    """A store that takes nothing."""

    inner: object

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def put(self, key: str, data: bytes) -> None:
        raise Later("the store is full")


def test_a_check_that_cannot_go_on_is_a_finding(house: House):
    """The others go on."""
    found = list(doctor.examine(replace(house, store=Refusing(house.store))))
    assert [(finding.check, finding.found) for finding in found if finding.verdict is Verdict.FAILED] == [("store", "the store is full")]
    assert found[-1].check == "objects"


def test_clocks_that_differ_are_named(house: House, monkeypatch: pytest.MonkeyPatch):
    """Parts are stamped by one, signatures judged by the other."""

    def late(_: object, conn: object = None) -> Iterator[int]:
        return doctor.time.time_ns() // 1_000_000 - 60_000

    monkeypatch.setattr(type(house.catalog), "now", late)
    assert "clock" in {finding.check for finding in wrong(house)}
