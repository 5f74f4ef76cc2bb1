#!/bin/sh
# The aligner, from recordings and texts to TextGrids. `sh run.sh --help` lists the stages and flags; README.md tells
# the rest.
# shellcheck disable=SC2034 # what is set here is read by the driver
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
title="The aligner: learns from a corpus of any language where its phones lie, and writes TextGrids."
features="phones as the text has them, mel"
infers="write a TextGrid of every recording"
infer_command=bins.align
infer_modes="corpus"

infer_flags() {
    cat <<'EOF'
batch_size|N|32|recordings that stage 3 aligns at once
EOF
}

check_infer() { :; }

demo_asks() { :; }

demo_begins() { :; }

. "$recipe_dir/../driver.sh"
