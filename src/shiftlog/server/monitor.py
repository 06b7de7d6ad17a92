"""What is watched from outside: alive, able to serve, and the numbers for Prometheus. None of it needs a key, or names an account."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.requests import Request
from starlette.responses import Response

from shiftlog.catalog import accounts, publishing
from shiftlog.house import House
from shiftlog.server import formats, openapi, problems, shapes

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

router = APIRouter(tags=["operation"])


class Monitor:
    """The numbers of one server process."""

    def __init__(self, house: House) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("shiftlog_requests", "Requests, by route and status.", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "shiftlog_request_seconds", "How long requests took.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self._bytes = Counter("shiftlog_sent_bytes", "Bytes of answers' bodies.", registry=self.registry)
        self.accepted = Counter("shiftlog_events_accepted", "Events taken in.", registry=self.registry)
        self.published = Counter("shiftlog_parts_published", "Parts published from this process.", registry=self.registry)
        self.failed = Counter("shiftlog_publish_failures", "Runs of publishing that failed in this process.", registry=self.registry)
        self.takeovers = Counter(
            "shiftlog_lease_takeovers", "Leases that this process took from publishers that had died or slept.", registry=self.registry
        )
        self.registry.register(_Catalog(house))

    def request(self, route: str, status: int, seconds: float, sent: int) -> None:
        """Count one request; `route` is its template, so that there are few."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._bytes.inc(sent)


class _Catalog:
    """What the catalog says when it is asked. Sums over the accounts: who asks here has no key, and accounts are no one else's business."""

    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: registering must not ask the catalog."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._house.catalog.read() as conn:
            now = self._house.catalog.now(conn)
            states = [publishing.state(conn, known.account) for known in accounts.every(conn)]
        lags = [now - state.watermark for state in states if state.watermark is not None]
        yield GaugeMetricFamily("shiftlog_accounts", "Accounts.", len(states))
        yield GaugeMetricFamily(
            "shiftlog_watermark_lag_seconds", "Now less the watermark, of the account with the most.", max(lags, default=0) / 1000
        )
        yield GaugeMetricFamily(
            "shiftlog_open_sessions", "Sessions that the last runs left open.", sum(state.carry_sessions for state in states)
        )
        yield GaugeMetricFamily("shiftlog_waiting_batches", "Landing batches not yet folded.", sum(s.landed - s.consumed for s in states))


@router.get("/healthz", name="healthz", responses=openapi.body("Health", formats.JSON) | problems.documented(400))
async def healthz() -> Response:
    """Alive."""
    return _healthy("alive")


@router.get("/readyz", name="readyz", responses=openapi.body("Health", formats.JSON) | problems.documented(400, 500, 503))
async def readyz(request: Request) -> Response:
    """Able to serve: catalog and store answer."""
    services = request.app.state.services
    await services.threads.fetch(_reach, services.house)
    return _healthy("ready")


def _healthy(status: str) -> Response:
    """In JSON whatever is asked for: who looks after servers sends all kinds of Accept headers."""
    return Response(formats.render(shapes.Health(status), formats.JSON), media_type=formats.JSON)


def _reach(house: House) -> None:
    with house.catalog.read() as conn:
        accounts.every(conn)
    house.store.reach()


@router.get(
    "/metrics",
    name="metrics",
    responses=openapi.plain("the numbers", "text/plain", {"type": "string"}) | problems.documented(400, 500, 503),
)
async def metrics(request: Request) -> Response:
    """The numbers of this process, for Prometheus."""
    services = request.app.state.services
    text = await services.threads.read(generate_latest, services.monitor.registry)
    return Response(text, media_type=EXPOSITION)
