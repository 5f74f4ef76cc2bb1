#!/bin/sh
# Lint, types and tests, in an environment made on first use. Arguments go to pytest: sh tests/run.sh -k settings
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
python=$(sh "$root/env.sh" dev) || exit 1
case $python in /*) ;; */*) python=$(pwd)/$python ;; esac # PYTHON=./python, and we are about to leave
cd "$root" || exit 1

# Many small processes at once: threads that wait without spinning do not take the cores from the others.
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMP_WAIT_POLICY

failed=''
"$python" -m ruff check . || failed="$failed lint"
"$python" -m ruff format --check . || failed="$failed format"
"$python" -m mypy || failed="$failed types"
"$python" -m pytest "$@" || failed="$failed tests"
[ -z "$failed" ] || {
    echo "failed:$failed" >&2
    exit 1
}
