#!/bin/sh
# WaveGlow, from recordings to a vocoder. --help lists stages and flags; README.md beside this file explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="WaveGlow: train a vocoder on recordings, and vocode mels with it."
features="mel, waveform"

. "$recipe_dir/../stage_3.sh"
. "$recipe_dir/../../driver.sh"
