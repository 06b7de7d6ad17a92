#!/usr/bin/env bash
# The tests, in two processes, but for the long forms (make soak). Arguments go to pytest.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

scripts/setup.sh
scripts/browser.sh
scripts/singer.sh
exec .venv/bin/pytest -n 2 --dist loadscope -m 'not soak' "$@"
