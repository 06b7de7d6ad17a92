#!/usr/bin/env bash
# Yesterday and today, up to now, at a simulated contact centre of 200 agents, published and served.
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
  say "simulating 200 agents from $yesterday on, up to now"
  # What has not happened yet is left out: at this moment some agents are at work, and their sessions are open.
  shiftlog simulate --account "$account" --agents 200 --days 2 --start "$yesterday" --seed 1 |
    python -c 'import json, sys, time; now = time.time() * 1000; sys.stdout.writelines(e for e in sys.stdin if json.loads(e)["timestamp"] <= now)' >"$day"
  shiftlog ingest "$day" --data "$data" --account "$account" >&2
  shiftlog publish --data "$data" --account "$account" >&2
  rm -f "$day"
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

Open the URL and sign in with the bearer token, or list the files of the last 7 days:

curl -H 'Authorization: Bearer $(key bearer)' '$list?startTime=$week_ago'

TEXT

# Not exec: the temporary directory has to go afterwards. In the background, so that signals reach the traps at once.
shiftlog serve --data "$data" --port "$port" &
server=$!
trap 'kill -TERM "$server" 2>/dev/null || true' INT TERM HUP
status=0
while kill -0 "$server" 2>/dev/null; do
  status=0
  wait "$server" || status=$?
done
exit "$status"
