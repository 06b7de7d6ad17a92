"""Load published files into any destination of dlt (dlthub.com): every file once, corrections included.

    pip install "dlt[duckdb]" shiftlog
    python examples/dlt_shiftlog.py profile.json

Two tables come of it. `sessions` has one row a session, of its latest revision; `events` has the rows of every revision, of which those
stand whose revision is their session's, where that is not withdrawn: the query at the end.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

import dlt
import polars as pl

from shiftlog import Client
from shiftlog.client.checkpoint import look

SESSIONS = dlt.mark.make_hints(
    table_name="sessions",
    write_disposition="merge",
    primary_key="agent_session_id",
    columns={"revision": {"data_type": "bigint", "dedup_sort": "desc"}},
)
EVENTS = dlt.mark.make_hints(table_name="events", write_disposition="append")


@dlt.resource(name="agent_activity")
def agent_activity(client: Client) -> Iterator[Any]:
    """Both tables, a file at a time. dlt keeps the checkpoint with the data: a load that fails moves neither."""
    state = dlt.current.resource_state()
    found = look(client, state.get("cursor"), now=time.time_ns() // 1_000_000)
    for name, file in found.files.items():
        if name not in state.get("taken", ()):
            rows = client.read(file).with_columns(revision=pl.lit(file.name.revision, pl.Int64), part=pl.lit(name))
            yield dlt.mark.with_hints(sessions(rows).to_arrow(), SESSIONS)
            yield dlt.mark.with_hints(rows.filter(pl.col("eventIndex").is_not_null()).to_arrow(), EVENTS)
    # A server that does not say how far its list reaches will tell of some of these again.
    state |= {"cursor": found.cursor, "taken": [] if found.exact else list(found.files)}


def sessions(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a session; one without events is withdrawn."""
    about = pl.col("agentID", "sessionStartTime", "sessionEndTime", "revision", "part").first()
    return rows.group_by("agentSessionId", maintain_order=True).agg(about, withdrawn=pl.col("eventIndex").count() == 0)


STANDING = """
SELECT count(*) FROM events JOIN sessions USING (agent_session_id, revision) WHERE NOT withdrawn
"""

if __name__ == "__main__":
    pipeline = dlt.pipeline("shiftlog", destination="duckdb", dataset_name="contact_centre")
    with Client(sys.argv[1]) as client:
        print(pipeline.run(agent_activity(client)))
    with pipeline.sql_client() as database:
        print(database.execute_sql(STANDING)[0][0], "events stand")
