#!/usr/bin/env bash
# Resolves every dependency for every platform into requirements.lock, with
# hashes and without the address of any index: lock.sh VENV
set -euo pipefail
"$1/bin/pip" install --quiet --disable-pip-version-check uv
"$1/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --all-extras --group dev --custom-compile-command 'make lock' \
  --output-file requirements.lock pyproject.toml
# What benchmarks compare with has an environment of its own.
"$1/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command 'make lock' \
  --output-file benchmarks/references/requirements.lock benchmarks/references/requirements.in
