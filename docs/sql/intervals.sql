-- Events as steps, and steps as intervals: docs/metrics.md, section 1. DuckDB; times are epoch milliseconds in UTC.
--
-- Reads   events  the lake's columns, one row an event: CREATE VIEW events AS FROM read_parquet('DIR/events/**/*.parquet');
-- Makes   steps      one row an event, with the interval that it opens (of length 0 where it opens none) and what it counts
--         intervals  those with a length

CREATE OR REPLACE VIEW steps AS
WITH cleaned AS (
    SELECT
        agentID AS agent_id, agentSessionId, eventIndex, type,
        "timestamp" AS start,
        coalesce(state, -1) AS state,
        greatest(coalesce(concurrentEng, 0), 0) AS concurrency,
        CASE WHEN maxConcurrentEng > 0 THEN maxConcurrentEng END AS maximum,  -- -9 and -1 say that it is not known
        agentGroupID AS group_id, userProfileIDs AS profile_ids
    FROM events
    WHERE eventIndex IS NOT NULL AND "timestamp" IS NOT NULL
),
neighbours AS (
    SELECT
        * EXCLUDE (maximum),
        last_value(maximum IGNORE NULLS) OVER (session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS maximum,
        lead(start) OVER session AS following,
        lag(state) OVER session AS state_before,
        lag(concurrency) OVER session AS concurrency_before
    FROM cleaned
    WINDOW session AS (PARTITION BY agent_id, agentSessionId ORDER BY start, eventIndex)
)
SELECT
    agent_id, agentSessionId, eventIndex, type, start,
    coalesce(following, start) AS "end",  -- a closed session ends at its last event, whatever closed it
    state, concurrency, maximum, group_id, profile_ids,
    CASE WHEN type = 3 THEN 1 ELSE 0 END AS logins,
    CASE WHEN type = 4 THEN 1 ELSE 0 END AS logouts,
    CASE WHEN state <> state_before THEN 1 ELSE 0 END AS status_changes,
    greatest(concurrency - coalesce(concurrency_before, 0), 0) AS chats_started,
    CASE WHEN concurrency_before IS NULL THEN concurrency ELSE 0 END AS chats_inherited
FROM neighbours;

CREATE OR REPLACE VIEW intervals AS
SELECT agent_id, agentSessionId, eventIndex, start, "end", state, concurrency, maximum, group_id, profile_ids
FROM steps
WHERE "end" > start;
