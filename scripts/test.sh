#!/usr/bin/env bash
# The tests, in two processes, but for the long forms (make soak). Arguments go to pytest.
# What they look at or talk to is installed first; the tests of what cannot be installed are skipped, and say so.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

scripts/debian.sh gcc libc6-dev || true # for setup.sh, which compiles where it can
scripts/setup.sh
scripts/browser.sh
scripts/debian.sh unzip gnupg || true
scripts/debian.sh ceph-mon ceph-osd ceph-common radosgw curl || true # scripts/s3.sh
scripts/singer.sh
scripts/spark.sh install || true
exec .venv/bin/pytest -n 2 --dist loadscope -m 'not soak' "$@"
