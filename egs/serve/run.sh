#!/bin/sh
# A server of speech with OpenAI's interface. --help lists the flags; README.md beside this file explains them.
# Relative paths are resolved against the root of the repository.
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
root=$recipe_dir/../..
unset CDPATH PYTHONSAFEPATH
python=$(sh "$root/env.sh" serve) || exit 1
case $python in */*) python=$(CDPATH='' cd -- "$(dirname -- "$python")" && pwd)/${python##*/} ;; esac
cd "$root" || exit 1
exec "$python" -m bins.serve "$@"
