#!/bin/sh
# FastSpeech 2, from recordings to speech. `sh run.sh --help` lists the stages and flags; README.md tells the rest.
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
title="FastSpeech 2: trains a voice on recordings and their transcripts, and speaks with it."
. "$recipe_dir/../../driver.sh"
