#!/usr/bin/env bash
# Yesterday and today at a simulated contact centre of 200 agents, published and served; it goes on as the day does.
# DATA keeps the data directory (else it is temporary and goes when the server stops); PORT is 8080 unless set.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)

"$root/scripts/setup.sh"
PATH="$root/.venv/bin:$PATH"

port=${PORT:-8080}
account=demo
scratch=$(mktemp -d "${TMPDIR:-/tmp}/shiftlog.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
data=${DATA:-$scratch/data}

say() { printf 'run: %s\n' "$1" >&2; }

credentials=$(shiftlog keys create --data "$data" --account "$account" --permission read --permission write --permission admin --format json)
key() { python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" <<<"$credentials"; }

# grep reads to the end (no -q): a reader that leaves early would make the writer fail.
published() { shiftlog files --data "$data" --account "$account" --format json 2>/dev/null | grep 'Agent\.' >/dev/null; }

simulate() {
  local day=$scratch/day.ndjson yesterday
  yesterday=$(python -c 'from datetime import UTC, datetime, timedelta as d; print(f"{datetime.now(UTC) - d(days=1):%Y-%m-%dT00:00:00Z}")')
  say "simulating 200 agents, yesterday, today and tomorrow"
  shiftlog simulate --account "$account" --agents 200 --days 3 --start "$yesterday" --seed 1 -o "$scratch/days.ndjson"
  # What has not happened yet is sent when it does: at this moment some agents are at work, and their sessions are open.
  python - "$scratch/days.ndjson" "$day" "$scratch/to-come.ndjson" <<'PY'
import json, sys, time

now = time.time() * 1000
with open(sys.argv[1]) as days, open(sys.argv[2], "w") as past, open(sys.argv[3], "w") as to_come:
    for line in days:
        (past if json.loads(line)["timestamp"] <= now else to_come).write(line)
PY
  say "taking in what has happened up to now; the rest is sent when it does"
  shiftlog ingest "$day" --data "$data" --account "$account" >&2
  shiftlog publish --data "$data" --account "$account" >&2
  rm -f "$day" "$scratch/days.ndjson"
}

if published; then
  say "$data has published files already; nothing is simulated"
else
  simulate
fi

url=http://127.0.0.1:$port
list=$url/data_access_le/account/$account/le/agentActivity
week_ago=$((($(date +%s) - 7 * 86400) * 1000))
cat <<TEXT

URL           $url
account       $account
bearer        $(key bearer)
OAuth 1.0a    consumer key    $(key consumer_key)
              consumer secret $(key consumer_secret)
              token           $(key token)
              token secret    $(key token_secret)

The server's log is $scratch/serve.log; Ctrl-C stops it.

Open the URL and sign in with the bearer token, or list the files of the last 7 days:

curl -H 'Authorization: Bearer $(key bearer)' '$list?startTime=$week_ago'

TEXT

# Not exec: the temporary directory has to go afterwards. In the background, so that signals reach the traps at once.
shiftlog serve --data "$data" --port "$port" 2>"$scratch/serve.log" &
server=$!
producer=
if [ -f "$scratch/to-come.ndjson" ]; then
  shiftlog keys create --data "$data" --account "$account" --permission write --profile "$scratch/producer.json" --url "$url" >/dev/null 2>&1
  python "$root/examples/live_producer.py" "$scratch/producer.json" "$scratch/to-come.ndjson" &
  producer=$!
fi
trap 'kill -TERM $server $producer 2>/dev/null || true' INT TERM HUP
status=0
while kill -0 "$server" 2>/dev/null; do
  status=0
  wait "$server" || status=$?
done
[ -z "$producer" ] || kill -TERM "$producer" 2>/dev/null || true
[ "$status" = 0 ] || tail -n 5 "$scratch/serve.log" >&2
exit "$status"
