#!/bin/sh
# The aligner, from recordings and transcripts to TextGrids. --help lists stages and flags; README.md beside this file
# explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="Aligner: train forced alignment on a corpus in any language, and write TextGrids."
last_stage=3
features="phones of the text, mel"
infers="write a TextGrid for every recording"
infer_command=bins.align
infer_modes="corpus"

infer_flags() {
    cat <<'EOF'
batch_size|N|32|stage 3: recordings aligned in one batch
EOF
}

check_infer() { :; }

demo_asks() { :; }

demo_begins() { :; }

. "$recipe_dir/../driver.sh"
