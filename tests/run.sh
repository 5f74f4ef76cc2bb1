#!/bin/sh
# Lint, types and tests, in an environment made on first use. Arguments go to pytest: sh tests/run.sh -k settings
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
python=$(sh "$root/env.sh" dev) || exit 1
case $python in /*) ;; */*) python=$(pwd)/$python ;; esac # PYTHON=./python, and we are about to leave
cd "$root" || exit 1

failed=''
"$python" -m ruff check . || failed="$failed lint"
"$python" -m ruff format --check . || failed="$failed format"
"$python" -m mypy || failed="$failed types"
"$python" -m pytest "$@" || failed="$failed tests"
[ -z "$failed" ] || {
    echo "failed:$failed" >&2
    exit 1
}
