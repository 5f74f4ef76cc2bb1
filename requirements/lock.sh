#!/bin/sh
# Writes lock.txt anew: `sh requirements/lock.sh`, or `sh requirements/lock.sh --upgrade` for the newest versions.
# Needs uv (https://docs.astral.sh/uv); set UV where it is not on PATH.
set -eu
cd "$(dirname -- "$0")"
new=$(mktemp)
trap 'rm -f "$new" "$new.in"' EXIT
[ ! -f lock.txt ] || cp lock.txt "$new"
# torch is fixed exactly: pip then takes a CPU build where one is at hand, which anything looser passes by.
printf '%s\n' 'torch==2.13.0' >"$new.in"
"${UV:-uv}" pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
    --output-file "$new" "$@" "$new.in" base.txt dev.txt evaluate.txt
{
    echo "# Exact versions for Python 3.10 to 3.13 on Linux, macOS and Windows, of every extra. Written by lock.sh."
    echo "# torch's own CUDA libraries are left to torch: naming them here would pull them beside a CPU build too."
    grep -v -E "^(nvidia-|cuda-|triton)|sys_platform == 'emscripten'" "$new"
} >lock.partial
mv lock.partial lock.txt
