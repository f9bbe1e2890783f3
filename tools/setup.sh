#!/usr/bin/env bash
# Makes the virtual environment: setup.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "distconv needs Python 3.11 or newer as '$python'. Install it, or say make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if [ ! -x "$venv/bin/pip" ]; then
  if ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "Cannot make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv" >&2
    exit 1
  fi
fi
echo "Setting up $venv (first time: a minute or two)…"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
