#!/bin/sh
# WaveGlow, from recordings to a vocoder. --help lists stages and flags; README.md beside this file explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="WaveGlow: train a vocoder on recordings, and vocode mels with it."
features="mel, waveform"
demo_remark="Its flow was trained for a minute and makes noise. For speech it takes 580,000 steps of 24 recordings, as in the
paper, or NVIDIA's 1001 epochs of LJSpeech: 33 hours on eight A100. On this machine, use a trained one:
--infer_expt_dir waveglow_256.pt; or train Lyre (egs/vocoder/Lyre) instead."

. "$recipe_dir/../stage_3.sh"
. "$recipe_dir/../../driver.sh"
