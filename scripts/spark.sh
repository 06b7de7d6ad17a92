#!/usr/bin/env bash
# Apache Spark of one's own, on loopback, for tests, benchmarks and rehearsals.
#
#   scripts/spark.sh install      have PySpark in .venv and Java; silent and quick where both are there
#   scripts/spark.sh start DIR    start a standalone master and two workers that live in DIR, and print the master's URL
#   scripts/spark.sh stop DIR     end them
#
# WORKERS, CORES and MEMORY (of each worker) are 2, 1 and 1g unless set. Workers run Python of this .venv.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)
venv=$root/.venv

say() { printf 'spark: %s\n' "$1" >&2; }

usage() {
  sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

# ── PySpark and Java ──

wanted() { sed -n '/^name = "pyspark"$/{n;s/^version = "\(.*\)"$/\1/p}' "$root/uv.lock"; }
installed() { "$venv/bin/python" -c 'from importlib.metadata import version; print(version("pyspark"))' 2>/dev/null || true; }

# The file that uv.lock names, by its hash; its few dependencies are among those of the tests.
pyspark() {
  local requirements
  requirements=$(mktemp)
  "$root/.tools/bin/uv" export --quiet --frozen --directory "$root" --only-group cluster --no-emit-project --no-annotate --no-header |
    awk '/^[a-z]/ { keep = /^(pyspark|py4j)==/ } keep' >"$requirements"
  "$root/.tools/bin/python" -m pip -q --disable-pip-version-check --python "$venv/bin/python" install --no-deps --require-hashes -r "$requirements"
  rm -f "$requirements"
}

java_here() { command -v java >/dev/null || [ -n "${JAVA_HOME:-}" ]; }

install() {
  local output
  "$root/scripts/setup.sh"
  java_here || "$root/scripts/debian.sh" openjdk-17-jre-headless || return 1
  [ "$(installed)" != "$(wanted)" ] || return 0
  say "installing PySpark $(wanted), half a gigabyte; once, in a minute or two"
  output=$(pyspark 2>&1) || {
    say "PySpark cannot be installed: $(tail -n 1 <<<"$output")"
    return 1
  }
}

# ── a master and its workers ──

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# A session of its own, so that all of it can be ended together.
run() { # NAME CLASS ARGUMENT…
  local name=$1
  shift
  PYSPARK_PYTHON=$venv/bin/python SPARK_LOCAL_IP=127.0.0.1 setsid "$home/bin/spark-class" "$@" </dev/null >"$dir/$name.log" 2>&1 &
  echo $! >"$dir/$name.pid"
}

alive() { curl -fs "http://127.0.0.1:$ui/json/" 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["aliveworkers"])' 2>/dev/null || echo 0; }

start() {
  local at ui workers=${WORKERS:-2}
  home=$("$venv/bin/python" -c 'import pyspark; print(pyspark.__path__[0])')
  mkdir -p "$dir"
  at=$(port) ui=$(port)
  run master org.apache.spark.deploy.master.Master --host 127.0.0.1 --port "$at" --webui-port "$ui"
  for number in $(seq "$workers"); do
    # Each has an address of its own: Spark repeats a slow task on another machine only.
    run "worker-$number" org.apache.spark.deploy.worker.Worker --host "127.0.0.$((number + 1))" --webui-port 0 --cores "${CORES:-1}" \
      --memory "${MEMORY:-1g}" --work-dir "$dir/work" "spark://127.0.0.1:$at"
  done
  for _ in $(seq 300); do
    if [ "$(alive)" -eq "$workers" ]; then
      echo "spark://127.0.0.1:$at"
      return
    fi
    sleep 0.2
  done
  say "the workers did not come within a minute: $(tail -n 1 "$dir"/*.log)"
  stop
  return 1
}

stop() {
  local file
  for file in "$dir"/worker-*.pid "$dir"/master.pid; do
    [ ! -f "$file" ] || kill -TERM -- "-$(cat "$file")" 2>/dev/null || true
    rm -f "$file"
  done
}

[ $# -ge 1 ] || usage
command=$1 dir=${2:-}
case $command in
  install) install ;;
  start | stop)
    [ -n "$dir" ] || usage
    "$command"
    ;;
  *) usage ;;
esac
