#!/usr/bin/env bash
# Have Debian's Chromium for the tests of the pages; silent and quick where it is there. Without it, and without a way to install
# it, those tests are skipped. CHROMIUM names another one.
set -euo pipefail

[ ! -x "${CHROMIUM:-/usr/bin/chromium}" ] || exit 0
# The fonts make text as wide as it is elsewhere.
"$(dirname -- "${BASH_SOURCE[0]}")/debian.sh" chromium fonts-dejavu-core ||
  printf 'browser: the tests that look at the pages are skipped (CHROMIUM=/path/to/chromium names one)\n' >&2
