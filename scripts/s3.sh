#!/usr/bin/env bash
# A real S3 server for tests and trials: Ceph's RADOS Gateway over a cluster of one node (monitor, OSD in memory, gateway), on loopback.
#
#   scripts/s3.sh start DIR    start what of it is not running, and print the AWS_… variables that lead to it, one a line
#   scripts/s3.sh stop DIR     end it, and delete what it had in DIR
#
# start may be called by several at once, and installs the packages where they are missing; it takes about three seconds. Objects live
# in the OSD's memory: they outlive the gateway (a killed one comes back by start, on its port), and are gone after stop.
# S3_OWNER=PID stops it when that process has ended. Exit 3: it cannot be had here (no packages, or too little memory).
set -euo pipefail
umask 077
unset PYTHONPATH PYTHONHOME CEPH_CONF CEPH_ARGS CEPH_KEYRING # ceph's own command is a Python program
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

MEMORY=$((1 << 30)) # bytes for objects; the OSD takes about twice as much for them
SECONDS_TO_START=60
BUCKET=shiftlog

say() { printf 's3: %s\n' "$1" >&2; }

[ $# -eq 2 ] || {
  sed -n '2,/^set /{/^# \{0,1\}/s///p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}
mkdir -p -- "$2"
place=$(cd -- "$2" && pwd -P)
dir=$place/s3 conf=$place/s3/ceph.conf
# ceph.conf has comments and quotes of its own.
case $dir in *[!A-Za-z0-9._/@%+=,:-]*) say "unsupported character in the path $dir" && exit 2 ;; esac

# ── processes ──

# The pid of a daemon that runs, and is ours: its command line names our ceph.conf, so a pid used again is never taken for it.
pid_of() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -xF -- "$conf" >/dev/null || return 1
  echo "$pid"
}

# spawn NAME COMMAND…: in a session of its own, with nothing of ours kept open.
spawn() {
  local name=$1
  shift
  setsid "$@" </dev/null >"$dir/$name.out" 2>&1 9>&- &
  echo $! >"$dir/$name.pid"
  disown
  until pid_of "$name" >/dev/null || ! kill -0 "$(cat "$dir/$name.pid")" 2>/dev/null; do sleep 0.02; done
}

# wait_for NAME COMMAND…: until it succeeds, the daemon NAME has ended, or the time is over.
wait_for() {
  local name=$1
  shift
  until "$@" >"$dir/wait.out" 2>&1; do
    pid_of "$name" >/dev/null || { say "$name ended: $(tail -n 3 "$dir/$name.out")" && return 1; }
    ((SECONDS < SECONDS_TO_START)) || { say "$name does not answer: $(tail -n 3 "$dir/wait.out")" && return 1; }
    sleep 0.1
  done
}

stop() {
  local name pid
  for name in owner rgw osd mon; do # clients before servers; nothing has to be flushed, since all of it is thrown away
    pid=$(pid_of "$name") || continue
    kill -KILL "$pid" 2>/dev/null || true
    while pid_of "$name" >/dev/null; do sleep 0.02; done
  done
  rm -rf -- "$dir"
}

# ── start ──

possible() {
  "$here/debian.sh" ceph-mon ceph-osd ceph-common radosgw curl 9>&- || return 1
  local free
  free=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
  ((free > 700000)) || { say "only $((free / 1024)) MB of memory are free; 700 are needed" && return 1; }
}

# Two free ports, below those that the system gives to outgoing connections.
free_ports() {
  python3 - <<'PY'
import random, socket
def free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
ports = iter(random.sample(range(20000, 30000), 10000))
print(*[next(port for port in ports if free(port)) for _ in range(2)])
PY
}

configure() {
  local mon rgw
  read -r mon rgw < <(free_ports)
  # Of its own at each start: whatever else may answer at that port refuses it.
  local secret
  secret=$(tr -d - </proc/sys/kernel/random/uuid)
  cat >"$dir/env" <<ENV
AWS_ENDPOINT_URL=http://127.0.0.1:$rgw
AWS_ACCESS_KEY_ID=shiftlog
AWS_SECRET_ACCESS_KEY=$secret
AWS_REGION=us-east-1
AWS_BUCKET=$BUCKET
ENV
  cat >"$conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:$mon]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = $dir/keyring
# no unix socket: its path may have 107 characters at most
admin socket =
run dir = $dir
crash dir = $dir
log file = $dir/\$name.log
mon cluster log file = $dir/cluster.log
# one OSD, one copy, few placement groups, and nobody to scale them
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
# changes of the map at once, instead of gathering them for a second
paxos propose interval = 0.05
paxos min wait = 0.02

[mon]
mon data = $dir/mon
# the monitor ends itself when its disk is nearly full; what it has there is small
mon data avail warn = 2
mon data avail crit = 1

[osd]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = $MEMORY

[client.rgw]
rgw data = $dir/rgw
# without nodelay every answer with a small body takes 40 ms
rgw frontends = beast endpoint=127.0.0.1:$rgw tcp_nodelay=1
# the memory of deleted objects comes back after a minute, not after two hours
rgw gc obj min wait = 60
rgw gc processor period = 20
# when the OSD is full or gone: an error, instead of waiting for ever
rados osd op timeout = 20
CONF
}

cluster() {
  local osd mon
  osd=$(cat /proc/sys/kernel/random/uuid)
  mon=$(sed -n 's/^mon host = //p' "$conf")
  mkdir "$dir"/{mon,osd,rgw}
  {
    ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx'
    monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$conf")" --addv a "$mon" "$dir/monmap"
    ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring"
  } >"$dir/made.out" 2>&1
  spawn mon ceph-mon -c "$conf" -i a -f
  wait_for mon ceph -c "$conf" --connect-timeout 5 osd new "$osd" 0
  ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd" >>"$dir/made.out" 2>&1
  spawn osd ceph-osd -c "$conf" -i 0 -f
  # Makes the gateway's pools too, and so waits for the OSD.
  timeout "$SECONDS_TO_START" radosgw-admin -c "$conf" -n client.rgw user create --uid=shiftlog --display-name=shiftlog \
    --access-key="$AWS_ACCESS_KEY_ID" --secret-key="$AWS_SECRET_ACCESS_KEY" >>"$dir/made.out" 2>&1
}

# Succeeds once the gateway takes signed requests.
make_bucket() {
  curl -fsS --max-time 10 --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    --header "x-amz-content-sha256: $(sha256sum </dev/null | cut -d ' ' -f 1)" --request PUT "$AWS_ENDPOINT_URL/$BUCKET"
}

# As long as the owner lives; then nobody is left to stop it. The conf's name is there for pid_of.
watch() { spawn owner bash -c 'while kill -0 "$0" 2>/dev/null; do sleep 2; done; "$1" stop "$2"' "$S3_OWNER" "$here/s3.sh" "$place" "$conf"; }

start() {
  if ! pid_of mon >/dev/null || ! pid_of osd >/dev/null; then
    possible || exit 3
    stop
    mkdir "$dir"
    configure
    # shellcheck source=/dev/null
    . "$dir/env"
    cluster
  fi
  # shellcheck source=/dev/null
  . "$dir/env"
  if ! pid_of rgw >/dev/null; then
    spawn rgw radosgw -c "$conf" -n client.rgw -f
    wait_for rgw make_bucket
  fi
  [ -z "${S3_OWNER:-}" ] || pid_of owner >/dev/null || watch
}

exec 9>"$place/.s3.lock" # beside what stop deletes
flock 9
case $1 in
  start)
    trap 'status=$?; [ $status -eq 0 ] || stop; exit $status' EXIT
    start
    cat "$dir/env"
    ;;
  stop) stop ;;
  *) say "found $1; start or stop is expected" && exit 2 ;;
esac
