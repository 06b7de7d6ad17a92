#!/usr/bin/env bash
# Have Debian's Chromium for the tests of the pages; silent and quick where it is there. Without it, and without a way to install
# it, those tests are skipped. CHROMIUM names another one.
set -euo pipefail

[ ! -x "${CHROMIUM:-/usr/bin/chromium}" ] || exit 0

say() { printf 'browser: %s\n' "$1" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo -n "$@"
  fi
}

# The fonts make text as wide as it is elsewhere.
install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium fonts-dejavu-core; }

missing='no Chromium here; the tests that look at the pages in a browser are skipped'
command -v apt-get >/dev/null || {
  say "$missing (CHROMIUM=/path/to/chromium names one)"
  exit 0
}
say 'installing chromium, with which the pages are tested; once'
output=$(install 2>&1 || { as_root apt-get -qq update && install; } 2>&1) || say "$missing: $(tail -n 1 <<<"$output")"
