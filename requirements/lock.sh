#!/bin/sh
# Writes lock.txt anew, and its versions into pyproject.toml:
#     sh requirements/lock.sh               # --upgrade for the newest versions
# Needs uv (https://docs.astral.sh/uv); set UV where it is not on PATH.
set -eu
cd "$(dirname -- "$0")"
here=$(pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch" lock.partial' EXIT
[ ! -f lock.txt ] || cp lock.txt "$scratch/new"
# torch is fixed exactly: pip then takes a CPU build where one is at hand, which anything looser passes by.
printf '%s\n' 'torch==2.13.0' >"$scratch/torch.in"
# In a folder of its own: here uv would find pyproject.toml, whose constraints are the versions of the last time.
(cd "$scratch" && "${UV:-uv}" pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
    --output-file new "$@" torch.in "$here/base.txt" "$here/dev.txt" "$here/evaluate.txt")
{
    echo "# Exact versions for Python 3.10 to 3.13 on Linux, macOS and Windows, of every extra. Written by lock.sh."
    echo "# torch's own CUDA libraries are left to torch: naming them here would pull them beside a CPU build too."
    grep -v -E "^(nvidia-|cuda-|triton)|sys_platform == 'emscripten'" "$scratch/new"
} >lock.partial
mv lock.partial lock.txt
# uv reads constraints from pyproject.toml alone: the list there is replaced by the lines of the lock.
awk '
    /^constraint-dependencies = \[$/ {
        print
        while ((getline line < "lock.txt") > 0) if (line !~ /^#/) printf "    \"%s\",\n", line
        replaced = 1
    }
    replaced && /^\]$/ { replaced = 0 }
    !replaced
' ../pyproject.toml >"$scratch/pyproject.toml"
cat "$scratch/pyproject.toml" >../pyproject.toml
