#!/bin/sh
# FastSpeech 2, from recordings to speech. --help lists stages and flags; README.md beside this file explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="FastSpeech 2: train a voice on recordings with transcripts, and synthesize speech with it."
features="text, alignment, mel, pitch, energy, statistics"

demo_begins() {
    [ ! -d "$demo_made/first/result" ] || return 0
    command='-m bins.synthesize --config "$flag_config" --infer_expt_dir "$root/ckpts/tts/kathleen" \
        --infer_text "This voice comes with Recital, and now a new one is trained." --infer_output_dir "$demo_made/first/result"'
    with debug
    run
    say "listen to it while another voice is trained, which takes some minutes"
}

. "$recipe_dir/../stage_3.sh"
. "$recipe_dir/../../driver.sh"
