#!/usr/bin/env bash
# Fuzz what reads bytes that others send (tests/fuzz/targets.py), SECONDS_EACH (600) a target; ONLY names one. What is learned is kept in
# .fuzz/. A find ends the run: its input is .fuzz/find-…, and belongs into tests/fuzz/corpus/NAME/ with the fix.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

exec .venv/bin/python tests/fuzz/campaign.py --seconds "${SECONDS_EACH:-600}" ${ONLY:+--only "$ONLY"}
