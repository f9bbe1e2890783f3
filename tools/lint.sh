#!/usr/bin/env bash
# Lint the code, the contract, its compatibility with main, and the layers.
set -euo pipefail
ruff format --check --quiet .
ruff check --quiet .
buf lint
buf format --diff --exit-code proto
# A contract that users hold must not break: compare with the branch that a change goes to.
base=$(git rev-parse --verify --quiet "${DISTCONV_BREAKING_BASE:-main}" || true)
if [ -n "$base" ] && git cat-file -e "$base:proto" 2>/dev/null; then
  buf breaking --against ".git#ref=$base"
fi
lint-imports --no-cache
echo "lint: clean"
