"""Every setting once: name, default, unit and help. The environment sets them (`SHIFTLOG_GRACE_SECONDS=60`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shiftlog.errors import Invalid


class Settings(BaseSettings):
    """What can be set for a deployment. An account's own settings (time zone, schema version, retention) lie in the catalog."""

    model_config = SettingsConfigDict(env_prefix="SHIFTLOG_", frozen=True, extra="ignore")

    # where things are
    catalog: SecretStr = Field(SecretStr(""), description="the catalog's database URL; empty: a file in the data directory")
    catalog_connections: int = Field(20, ge=4, description="connections to a database server that a process uses at once, at most")
    catalog_seconds: float = Field(10, ge=0, description="what has to be known waits so long for a database server that does not answer")
    store: str = Field("", description="the store's URL; empty: a folder of the data directory")
    store_memory_bytes: int = Field(256 << 20, ge=0, description="what a bucket's objects that were read lately may take in memory")
    secret_key_file: str = Field("", description="the file with the key that secrets are encrypted with; empty: in the data directory")
    # publishing
    grace_seconds: int = Field(300, ge=0, description="how long after its end an hour is published")
    session_timeout_hours: float = Field(24, gt=0, description="a session without events for so long is closed")
    part_events: int = Field(500_000, ge=1, description="events in a part, about; more make more parts")
    fold_events: int = Field(2_000_000, ge=1, description="events folded at a time; bounds the memory of a run")
    lease_seconds: float = Field(60, gt=0, description="after so long without a sign of life another worker takes a publisher's place")
    spark_master: str = Field("", description="the Spark cluster of --engine spark: spark://HOST:PORT, yarn, k8s://… or local[N]")
    lead_milliseconds: int = Field(2_000, ge=0, description="how far ahead of the clock a part's generated time is set")
    # keeping
    retention_days: int = Field(30, ge=1, description="files leave the API so long after they were generated (new accounts)")
    history_days: int = Field(400, ge=1, description="twins, which metrics and late events need, are kept so long")
    audit_days: int = Field(400, ge=1, description="lines of the audit log are kept so long")
    safety_hours: float = Field(24, ge=1, description="unreferenced objects and consumed landing batches are deleted after so long")
    # accounts
    time_zone: str = Field("America/New_York", description="the zone of scope dates in lists (new accounts)")
    schema_version: str = Field("1.0.0.4", description="the schema version that is published (new accounts)")
    # the server
    public_url: str = Field("", description="the address clients use, which signatures are checked against; empty: the request's own")
    body_bytes: int = Field(16 * 1024 * 1024, ge=1, description="a request body's limit, as sent and unpacked")
    request_events: int = Field(100_000, ge=1, description="events in one request, at most")
    oauth_window_seconds: int = Field(300, ge=1, description="how far a signature's timestamp may be from the clock")
    downloads: Literal["stream", "redirect"] = Field(
        "stream", description="files go through the server, or clients are sent to the bucket for them (s3://, gs://, az://)"
    )
    download_seconds: int = Field(3_600, ge=60, description="how long such an address in the bucket is good for, at least")
    download_bytes_per_second: int = Field(50_000, ge=1, description="the slowest download for which it is good to the end")
    page_parts: int = Field(10_000, ge=1, description="parts on a page of the manifest, at most")
    answer_events: int = Field(5_000_000, ge=1, description="events that are read for one answer to a question, at most")
    answer_rows: int = Field(100_000, ge=1, description="rows of such an answer, or agents times buckets, at most")
    # limits; 0 is none
    key_requests_per_second: float = Field(500, ge=0, description="requests with one key, on average; 0: no limit")
    key_requests_at_once: int = Field(128, ge=0, description="requests with one key that are under way, at most; 0: no limit")
    key_events_per_second: float = Field(0, ge=0, description="events sent with one key, on average; 0: no limit")
    address_requests_per_second: float = Field(1_000, ge=0, description="requests from one client's address, on average; 0: no limit")
    address_requests_at_once: int = Field(512, ge=0, description="requests from one address that are under way, at most; 0: no limit")
    burst_seconds: float = Field(10, gt=0, description="of such a rate, what may come at once: as much as in so long")
    trusted_proxies: str = Field("", description="addresses or networks, with commas, of proxies that name the client's address")
    forwarded_header: Literal["X-Forwarded-For", "Forwarded"] = Field("X-Forwarded-For", description="the header in which they do")
    # slow clients
    connections: int = Field(
        8_192, ge=16, description="connections at once; no more than half of the descriptors that the process may have"
    )
    header_seconds: float = Field(30, ge=1, description="how long the headers of a request may take, and a connection may be idle")
    body_seconds: float = Field(15, gt=0, description="how long a body may be slower than body_bytes_per_second")
    body_bytes_per_second: int = Field(4_096, ge=1, description="how fast a body has to arrive, on average")
    send_seconds: float = Field(60, ge=1, description="a client that takes nothing of its answer for so long is cut off")
    # the pages
    sign_in_hours: float = Field(12, gt=0, description="how long a browser stays signed in to the pages")
    view_events: int = Field(700_000, ge=1, description="events of a window that the pages show, at most; bounds their memory")
    live_views: int = Field(64, ge=1, description="pages that may watch what happens now, at most, each over a connection of its own")

    @property
    def grace(self) -> int:
        """In ms."""
        return self.grace_seconds * 1000

    @property
    def session_timeout(self) -> int:
        """In ms."""
        return int(self.session_timeout_hours * 3_600_000)

    @property
    def safety(self) -> int:
        """In ms."""
        return int(self.safety_hours * 3_600_000)


def load() -> Settings:
    """The settings as the environment has them.

    Raises:
        Invalid: a variable has a value that cannot be used; its name is told, and not its value, which may be a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"SHIFTLOG_{str(found['loc'][0]).upper()}: {found['msg'][:1].lower()}{found['msg'][1:]}" for found in error.errors()]
        raise Invalid(f"{'; '.join(wrong)} (shiftlog settings explains each)") from None


def table() -> list[dict[str, str]]:
    """All settings as rows: name, environment variable, default, help."""
    return [
        {"name": name, "environment": f"SHIFTLOG_{name.upper()}", "default": str(field.default), "help": field.description or ""}
        for name, field in Settings.model_fields.items()
    ]
