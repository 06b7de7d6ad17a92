-- Intervals as numbers: docs/metrics.md, sections 2 and 3. Run intervals.sql before.
--
-- Reads   steps    of intervals.sql
--         buckets  bucket_start, bucket_end: half-open, in epoch milliseconds, none over another; for the hours of a week in UTC
--                  CREATE VIEW buckets AS SELECT range AS bucket_start, range + 3600000 AS bucket_end
--                  FROM range(epoch_ms(TIMESTAMP '2026-03-02'), epoch_ms(TIMESTAMP '2026-03-09'), 3600000);
-- Makes   measures  sums of an agent and group in a bucket: integers, milliseconds unless their name says otherwise
--         metrics   sums and ratios by 'agent', 'group' and 'account' (the column "by"): ratios of sums, null where the denominator is 0

CREATE OR REPLACE VIEW measures AS
WITH pieces AS (
    SELECT
        bucket_start, bucket_end, agent_id, group_id, state, concurrency AS c, maximum AS m,
        greatest(least("end", bucket_end) - greatest(start, bucket_start), 0) AS ms,
        -- An event counts in the bucket of its timestamp; of an interval that began before, the bucket has only time.
        CASE WHEN start >= bucket_start THEN 1 ELSE 0 END AS begun,
        logins, logouts, status_changes, chats_started, chats_inherited
    FROM steps
    JOIN buckets ON start < bucket_end AND (start >= bucket_start OR "end" > bucket_start)
)
SELECT
    bucket_start, bucket_end, agent_id, group_id,
    sum(ms)::BIGINT AS login_ms,
    coalesce(sum(ms) FILTER (state = 2), 0)::BIGINT AS online_ms,
    coalesce(sum(ms) FILTER (state = 3), 0)::BIGINT AS back_soon_ms,
    coalesce(sum(ms) FILTER (state = 4), 0)::BIGINT AS away_ms,
    coalesce(sum(ms) FILTER (state = 1), 0)::BIGINT AS offline_ms,
    coalesce(sum(ms) FILTER (state = 0), 0)::BIGINT AS irrelevant_ms,
    coalesce(sum(ms) FILTER (state NOT BETWEEN 0 AND 4), 0)::BIGINT AS unknown_ms,
    coalesce(sum(ms) FILTER (c >= 1), 0)::BIGINT AS chatting_ms,
    coalesce(sum(ms) FILTER (state = 2 AND c >= 1), 0)::BIGINT AS online_chatting_ms,
    coalesce(sum(ms) FILTER (state = 2 AND c = 0), 0)::BIGINT AS online_idle_ms,
    coalesce(sum(ms) FILTER (state = 2 AND c >= m), 0)::BIGINT AS online_at_max_ms,
    sum(ms * c)::BIGINT AS chat_ms,
    coalesce(sum(ms * c) FILTER (state = 2), 0)::BIGINT AS online_chat_ms,
    coalesce(sum(ms * m) FILTER (state = 2), 0)::BIGINT AS online_capacity_ms,
    coalesce(sum(ms * c) FILTER (state = 2 AND m IS NOT NULL), 0)::BIGINT AS online_capacity_chat_ms,
    sum(chats_started * begun)::BIGINT AS chats_started,
    sum(logins * begun)::BIGINT AS logins,
    sum(logouts * begun)::BIGINT AS logouts,
    sum(status_changes * begun)::BIGINT AS status_changes,
    sum(chats_inherited * begun)::BIGINT AS chats_inherited
FROM pieces
GROUP BY bucket_start, bucket_end, agent_id, group_id;

CREATE OR REPLACE VIEW metrics AS
WITH sums AS (
    SELECT
        CASE WHEN grouping(agent_id) = 0 THEN 'agent' WHEN grouping(group_id) = 0 THEN 'group' ELSE 'account' END AS "by",
        agent_id, group_id, bucket_start, bucket_end - bucket_start AS bucket_ms,
        count(DISTINCT agent_id) FILTER (login_ms > 0) AS agents,
        sum(COLUMNS(* EXCLUDE (bucket_start, bucket_end, agent_id, group_id)))::BIGINT
    FROM measures
    GROUP BY GROUPING SETS (
        (bucket_start, bucket_end, agent_id), (bucket_start, bucket_end, group_id), (bucket_start, bucket_end)
    )
)
SELECT
    *,
    online_ms / nullif(login_ms, 0) AS availability,
    online_chatting_ms / nullif(online_ms, 0) AS occupancy,
    online_chat_ms / nullif(online_chat_ms + online_idle_ms, 0) AS occupancy_handle,
    chatting_ms / nullif(login_ms, 0) AS occupancy_paid,
    online_capacity_chat_ms / nullif(online_capacity_ms, 0) AS utilization,
    online_at_max_ms / nullif(online_ms, 0) AS at_capacity,
    online_chat_ms / nullif(online_chatting_ms, 0) AS concurrency,
    online_chat_ms / nullif(online_ms, 0) AS concurrency_online,
    chats_started * 3600000 / nullif(login_ms, 0) AS chats_per_login_hour,
    chats_started * 3600000 / nullif(online_ms, 0) AS chats_per_online_hour,
    chat_ms / nullif(chats_started, 0) AS chat_handle_ms,
    login_ms / bucket_ms AS staffed,
    online_ms / bucket_ms AS agents_online,
    online_capacity_ms / bucket_ms AS slots
FROM sums;
