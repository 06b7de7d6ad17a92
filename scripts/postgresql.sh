#!/usr/bin/env bash
# A PostgreSQL of one's own, on loopback, for tests and rehearsals; Debian's package is installed where there is none.
#
#   scripts/postgresql.sh start DIR     make a cluster in DIR where there is none, start it, print its URL
#   scripts/postgresql.sh restart DIR   end it as a crash would, and start it again on the same port
#   scripts/postgresql.sh stop DIR      end it; what it holds stays in DIR
#   scripts/postgresql.sh crash DIR     the same, as a crash would
#   scripts/postgresql.sh remove DIR    end it, and delete DIR
#
# Its user is shiftlog, its password hunter2, its database postgres. It does not wait for the disk: never keep anything in it.
# With DURABLE=1 it does, as whoever measures wants it.
set -euo pipefail

say() { printf 'postgresql: %s\n' "$1" >&2; }

[ $# -eq 2 ] || {
  sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}
command=$1 dir=$2

bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
[ -n "$(bin)" ] || "$(dirname -- "${BASH_SOURCE[0]}")/debian.sh" postgresql
bin=$(bin)

# PostgreSQL does not run as root: then Debian's user for it runs it, and owns DIR.
as_owner() {
  if [ "$(id -u)" -eq 0 ]; then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
}

control() { as_owner "$bin/pg_ctl" --silent -w -t 60 -D "$dir/cluster" "$@" </dev/null >/dev/null; }
running() { as_owner "$bin/pg_ctl" status -D "$dir/cluster" >/dev/null 2>&1; }
url() { printf 'postgresql+psycopg://shiftlog:hunter2@127.0.0.1:%s/postgres\n' "$(cat "$dir/port")"; }

make() {
  mkdir -p -- "$dir"
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >"$dir/port"
  printf 'hunter2' >"$dir/password"
  [ "$(id -u)" -ne 0 ] || chown -R postgres: "$dir"
  as_owner "$bin/initdb" --no-sync -A scram-sha-256 -U shiftlog --pwfile "$dir/password" -E UTF8 --locale C -D "$dir/cluster" >"$dir/initdb.log" 2>&1 || {
    cat "$dir/initdb.log" >&2
    exit 1
  }
}

start() {
  local fsync=off
  [ -z "${DURABLE:-}" ] || fsync=on
  local options="-c listen_addresses=127.0.0.1 -c port=$(cat "$dir/port") -c unix_socket_directories= -c fsync=$fsync -c max_connections=200"
  control start -o "$options" -l "$dir/cluster/server.log" || {
    tail -n 5 "$dir/cluster/server.log" >&2
    exit 1
  }
}

case $command in
  start)
    [ -d "$dir/cluster" ] || make
    running || start
    url
    ;;
  restart)
    control stop -m immediate
    start
    ;;
  stop) ! running || control stop -m fast ;;
  crash) ! running || control stop -m immediate ;;
  remove)
    ! running || control stop -m immediate
    rm -rf -- "$dir"
    ;;
  *)
    say "found $command; start, restart, stop or remove is expected"
    exit 2
    ;;
esac
