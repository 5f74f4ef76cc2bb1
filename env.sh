#!/bin/sh
# Finds or creates the Python environment, and prints the path of its interpreter.
#
#     sh env.sh                 packages for training and inference
#     sh env.sh dev demo        and the extras named, each a file requirements/<extra>.txt
#
# - PYTHON set: that interpreter is used as it is.
# - an active virtual environment or conda environment that has every package needed, and is not conda's base: it is
#   used; nothing is installed into it.
# - otherwise .venv beside this file, created on first use from requirements/lock.txt (exact versions).
#
# Standard output is the path alone, for PYTHON=$(sh env.sh demo); everything else goes to standard error.
# It may be killed at any moment and started again: a stamp, written last, says what is installed.
set -u

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
requirements=$root/requirements
environment=$root/.venv

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

for extra in "$@"; do
    case $extra in lock | *without_dependencies) ;; *) [ -f "$requirements/$extra.txt" ] && continue ;; esac
    if [ "$extra" = judge ]; then
        say "error: the extra judge is called evaluate now: sh env.sh evaluate"
        exit 2
    fi
    say "error: unknown extra $extra; known: $(cd "$requirements" && ls ./*.txt | sed 's|^\./||; s|\.txt$||' |
        grep -v -x -e lock -e base -e '.*without_dependencies' | tr '\n' ' ')"
    exit 2
done
set -- base "$@"

# The interpreter of a virtual environment: in bin, on Windows in Scripts.
python_of() {
    if [ -x "$1/bin/python" ]; then printf '%s\n' "$1/bin/python"; else printf '%s\n' "$1/Scripts/python.exe"; fi
}

# The user's own Python
if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON is set to $PYTHON, which cannot be run; correct or unset it"
    printf '%s\n' "$PYTHON"
    exit 0
fi
active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
# Prints why the active environment is not used; nothing if it is.
unfit() {
    # conda's base has packages for conda itself; it alone holds condabin.
    if [ -z "${VIRTUAL_ENV:-}" ] && { [ "${CONDA_DEFAULT_ENV:-}" = base ] || [ -d "$active/condabin" ]; }; then
        echo "is conda's base"
        return
    fi
    [ -x "$python" ] || {
        echo "has no Python"
        return
    }
    lists=$(for extra in "$@"; do ls "$requirements/$extra.txt" "$requirements/${extra}_without_dependencies.txt"; done 2>&-)
    missing=$(printf '%s\n' "$lists" | "$python" -c '
import importlib.metadata, re, sys

if sys.version_info < (3, 10):
    print("Python 3.10 or newer")
for path in sys.stdin.read().splitlines():
    for line in open(path, encoding="utf-8"):
        package = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        if package:
            try:
                importlib.metadata.version(package.group())
            except importlib.metadata.PackageNotFoundError:
                print(package.group())
' 2>/dev/null) || {
        echo "has a Python that does not run"
        return
    }
    [ -z "$missing" ] || echo "lacks $(printf '%s\n' "$missing" | head -n 3 | tr '\n' ' ')$(
        [ "$(printf '%s\n' "$missing" | wc -l)" -le 3 ] || echo "and more ")"
}
if [ -n "$active" ] && [ "$active" != "$environment" ]; then
    python=$(python_of "$active")
    [ -x "$python" ] || python=$active/python.exe # conda on Windows
    reason=$(unfit "$@")
    if [ -z "$reason" ]; then
        printf '%s\n' "$python"
        exit 0
    fi
    say "using $environment, since the active environment $active ${reason% }"
fi

# Our own environment
wanted=$(cat "$requirements"/*.txt | cksum)
lacking() {
    for extra in "$@"; do
        [ "$(cat "$environment/installed-$extra" 2>/dev/null)" = "$wanted" ] || printf '%s ' "$extra"
    done
}
is_python() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2])' >/dev/null 2>&1; }

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        is_python "$candidate" && command -v "$candidate" && return
    done
    found=$(python3 -V 2>&1) || found="no python3"
    fail "Python 3.10 or newer is needed, found: $found; install one, or set PYTHON to one that has the packages"
}

make_environment() {
    # Distinguishes a complete environment from an interrupted one.
    "$(python_of "$environment")" -m pip --version >/dev/null 2>&1 && return
    is_python "$(python_of "$environment")" &&
        "$(python_of "$environment")" -m ensurepip >/dev/null 2>&1 && return
    base_python=$(find_python) || exit 1
    say "creating $environment with $("$base_python" -V)"
    "$base_python" -m venv --clear "$environment" >&2 ||
        fail "$base_python cannot create a virtual environment; on Debian and Ubuntu: apt install python3-venv"
}

install() {
    quiet=--quiet
    [ -t 2 ] && quiet=''
    python=$(python_of "$environment")
    cd "$requirements" || return
    # -c and not -r for the lock: it has the versions of every extra, these files list what to install.
    # shellcheck disable=SC2046 # names of files, one word each
    "$python" -m pip install $quiet --disable-pip-version-check --no-compile -c "$requirements/lock.txt" \
        $(for extra in "$@"; do printf '%s\n' -r "./$extra.txt"; done) >&2 || return
    # Each in a call of its own: one with hashes demands them of every package in the call.
    for bare in without_dependencies.txt $(for extra in "$@"; do printf '%s\n' "${extra}_without_dependencies.txt"; done); do
        [ ! -f "$bare" ] ||
            "$python" -m pip install $quiet --disable-pip-version-check --no-compile --no-deps -r "$bare" >&2 || return
    done
    # More than half of pip's time goes into compiling, on one core; this takes all. Some packages hold files that are
    # not for this version of Python, which pip passes over, too.
    "$python" -m compileall -qq -j 0 "$environment" >&2 || true
}

# One installer at a time. The holder's process id distinguishes a stale lock from one in use.
hold_lock() {
    lock=$root/.venv.lock
    (printf '%s\n' $$ >"$lock.$$") 2>/dev/null ||
        fail "$root cannot be written to, and has no complete .venv: make it there as its owner, or set PYTHON"
    trap 'rm -f "$lock.$$"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    announced=''
    until ln "$lock.$$" "$lock" 2>/dev/null; do # atomic, with its content
        holder=$(cat "$lock" 2>/dev/null)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -f "$lock"
            continue
        fi
        [ -n "$announced" ] || say "waiting for process $holder, which is installing (if it is not: rm $lock)"
        announced=yes
        sleep 1
    done
    trap 'rm -f "$lock" "$lock.$$"' EXIT
}

if [ -n "$(lacking "$@")" ] || [ ! -x "$(python_of "$environment")" ]; then
    hold_lock
    make_environment
    extras=$(lacking "$@")
    if [ -n "$extras" ]; then
        say "installing from requirements/lock.txt: $extras(once; takes some minutes)"
        # shellcheck disable=SC2086 # names of files, one word each
        (install $extras) || fail "the installation stopped; with a network, run this again to continue"
        for extra in $extras; do
            printf '%s\n' "$wanted" >"$environment/installed-$extra.partial" &&
                mv "$environment/installed-$extra.partial" "$environment/installed-$extra" || exit 1
        done
    fi
fi
python_of "$environment"
