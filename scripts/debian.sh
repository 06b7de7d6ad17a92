#!/usr/bin/env bash
# Have these Debian packages: scripts/debian.sh PACKAGE… Silent and quick where all are there.
# Exits with 1, having said so in one line, where they are not there and cannot be installed.
set -euo pipefail

missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

say() { printf 'debian: %s\n' "$1" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "${missing[@]}" </dev/null; }

command -v apt-get >/dev/null || {
  say "not Debian; without ${missing[*]}"
  exit 1
}
say "installing ${missing[*]}; once"
output=$(install 2>&1 || { as_root apt-get -qq update && install; } 2>&1) || {
  say "${missing[*]} cannot be installed: $(tail -n 1 <<<"$output")"
  exit 1
}
