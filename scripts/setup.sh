#!/usr/bin/env bash
# Make or update .venv: the package (editable) and all development dependencies, as uv.lock says.
# Silent and quick when nothing changed. PYTHON chooses the interpreter; without it python3, or the one of the present .venv.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

UV='uv>=0.13.9,<0.14' # reads this revision of uv.lock
TOOLS=.tools          # a virtual environment for uv alone
STAMP=.venv/.made     # written last: where, with which interpreter and from what .venv was made
REMAKE='rm -rf .venv .tools, then make setup, starts afresh'

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

say() { printf 'setup: %s\n' "$1" >&2; }

# Run a long step: on a terminal with its progress, elsewhere in silence unless it fails.
step() {
  local output
  if [ -t 2 ]; then
    "$@" >&2
  elif ! output=$("$@" 2>&1); then
    printf '%s\n' "$output" >&2
    return 1
  fi
}

# ── is there anything to do? ──

# The interpreter itself, where $1 may be a shim or lie in a virtual environment (perhaps the one we are about to replace).
interpreter() { "$1" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'; }

# What .venv is made from.
inputs() { { cat pyproject.toml uv.lock scripts/setup.sh hatch_build.py src/shiftlog/kernels/*.c && command -v cc; } | cksum; }

made_at='' made_with='' made_from=''
if [ -f "$STAMP" ]; then
  { IFS= read -r made_at && IFS= read -r made_with && IFS= read -r made_from; } <"$STAMP" || made_at=''
fi

works() { .venv/bin/python -I -c 'import importlib.util as u, sys; sys.exit(u.find_spec("shiftlog") is None)' 2>/dev/null; }
# A moved .venv has scripts that point to the old place.
in_place() { [ "$made_at" = "$(pwd -P)" ] && works; }
as_asked() { [ -z "${PYTHON:-}" ] || [ "$made_with" = "$(interpreter "$PYTHON" 2>/dev/null)" ]; }

remake=''
if in_place && as_asked; then
  [ "$made_from" != "$(inputs)" ] || exit 0
  PYTHON=${PYTHON:-$made_with}
elif [ -f "$STAMP" ]; then
  remake=yes
fi

# ── the interpreter ──

PYTHON=${PYTHON:-python3}
python=$(interpreter "$PYTHON" 2>/dev/null) ||
  fail "$PYTHON does not run; install Python 3.11 or newer, or name one: make setup PYTHON=/path/to/python3.11"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$PYTHON is Python $version; 3.11 or newer is needed: make setup PYTHON=/path/to/python3.11"

# ── uv, in an environment of its own ──

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$1"; }

# Debian and Ubuntu leave what `python -m venv` needs to a package of its own.
install_venv() {
  local package="python$version-venv"
  command -v apt-get >/dev/null || fail "$python cannot make a virtual environment (no ensurepip); install its venv module"
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    fail "$python cannot make a virtual environment; have $package installed: apt-get install $package"
  say "installing $package, which $python lacks"
  step apt_install "$package" 2>/dev/null || { step as_root apt-get -qq update && step apt_install "$package"; } ||
    fail "$package could not be installed (see above)"
}

tools() {
  "$python" -m venv --clear "$TOOLS" >/dev/null 2>&1 || {
    install_venv
    step "$python" -m venv --clear "$TOOLS" || fail "$python cannot make a virtual environment (see above)"
  }
}

pip() { "$TOOLS/bin/python" -m pip --disable-pip-version-check "$@"; }

say 'making .venv ready; the first time takes a minute or two'
"$TOOLS/bin/python" -m pip --version >/dev/null 2>&1 || tools
step pip install -q "$UV" || fail "uv could not be installed (see above); pip's own settings (PIP_INDEX_URL, PIP_CERT, …) are used"

# ── the packages ──

# A setting of this machine's pip, from its environment or its files; empty where it has none.
pip_setting() {
  local place
  for place in :env: install global; do
    sed -n "s/^$place\.$1='\(.*\)'\$/\1/p" <<<"$pip_settings" | grep . && return
  done
  true
}

# uv does not read pip's settings: what it needs to reach the index from this machine is carried over.
carry_pip_settings() {
  local cert proxy timeout
  cert=$(pip_setting cert) proxy=$(pip_setting proxy) timeout=$(pip_setting timeout)
  [ -n "$timeout" ] || timeout=$(pip_setting default-timeout)
  [ -z "$cert" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"
  [ -z "$proxy" ] || export HTTPS_PROXY="${HTTPS_PROXY:-$proxy}"
  [ -z "$timeout" ] || export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-$timeout}"
}

uv() { "$TOOLS/bin/uv" "$@"; }

# uv.lock names the files by PyPI's addresses. A machine whose pip asks another index gets the same files, by hash, through pip.
sync_by_pip() {
  uv venv --quiet --allow-existing --python "$python" .venv
  uv export --quiet --frozen --all-groups --no-group cluster --no-emit-project --output-file "$TOOLS/requirements.txt"
  step pip --python .venv/bin/python install --require-hashes -r "$TOOLS/requirements.txt"
  step pip --python .venv/bin/python install --no-deps -e .
}

sync() {
  if [ -n "$(pip_setting index-url)$(pip_setting no-index)" ]; then
    sync_by_pip
  else
    # Compiled as pip does it: else every process compiles what it imports, where Python may not keep that.
    step uv sync --frozen --all-groups --no-group cluster --inexact --compile-bytecode --python "$python"
  fi
}

unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
export UV_PYTHON_DOWNLOADS=never
pip_settings=$(pip config list)
carry_pip_settings
[ -z "$remake" ] || rm -rf .venv
sync || fail "the packages of uv.lock could not be installed (see above); $REMAKE"
works || fail ".venv does not work; $REMAKE"
.venv/bin/python src/shiftlog/kernels/compile.py >/dev/null 2>&1 || true # where a compiler came later

printf '%s\n' "$(pwd -P)" "$python" "$(inputs)" >"$STAMP.partial"
mv "$STAMP.partial" "$STAMP"
