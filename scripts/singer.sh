#!/usr/bin/env bash
# Have singer-python for the test of the tap, in a virtual environment of its own (build/singer): it pins libraries that .venv needs
# newer. Silent and quick where it is there. Without it, that test is skipped.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

PACKAGE='singer-python==6.8.0'
STAMP=build/singer/.made # written last

[ "$(cat "$STAMP" 2>/dev/null)" != "$PACKAGE" ] || exit 0

say() { printf 'singer: %s\n' "$1" >&2; }

say "installing $PACKAGE, which reads what the tap writes; once"
mkdir -p build
output=$(.tools/bin/python -m venv --clear build/singer && build/singer/bin/python -m pip -q --disable-pip-version-check install "$PACKAGE" 2>&1) || {
  say "it could not be installed, and its test is skipped: $(tail -n 1 <<<"$output")"
  exit 0
}
printf '%s\n' "$PACKAGE" >"$STAMP"
