#!/bin/sh
# Hours of recordings to a corpus. --help lists the flags; README.md beside this file explains them.
# Relative paths are resolved against the current directory.
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
root=$(CDPATH='' cd -- "$recipe_dir/../.." && pwd) || exit 1
python=$(sh "$root/env.sh" evaluate) || exit 1
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHONSAFEPATH=1 # no modules of the current directory in place of ours
export PYTHONPATH PYTHONSAFEPATH
exec "$python" -m bins.segment "$@"
