#!/bin/sh
# Lint, types and tests, in an environment made on first use. Arguments go to pytest: sh tests/run.sh -k settings
# A process per core runs the tests, taking them over from each other; -n 0 runs all in one, where a debugger can follow.
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
python=$(sh "$root/env.sh" dev) || exit 1
case $python in /*) ;; */*) python=$(pwd)/$python ;; esac # PYTHON=./python, and we are about to leave
cd "$root" || exit 1

workers=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# The processes fill the cores already.
export OMP_NUM_THREADS=1

failed=''
"$python" -m ruff check . || failed="$failed lint"
"$python" -m ruff format --check . || failed="$failed format"
"$python" -m mypy || failed="$failed types"
"$python" -m pytest -n "$workers" --dist worksteal "$@" || failed="$failed tests"
[ -z "$failed" ] || {
    echo "failed:$failed" >&2
    exit 1
}
