#!/bin/sh
# DelightfulTTS, from recordings to speech. --help lists stages and flags; README.md beside this file explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="DelightfulTTS: train a voice on recordings with transcripts, and synthesize speech with it."
features="text, alignment, mel, pitch, statistics"

demo_begins() { :; }

. "$recipe_dir/../stage_3.sh"
. "$recipe_dir/../../driver.sh"
