#!/bin/sh
# FastSpeech 2, from recordings to speech. `sh run.sh --help` lists the stages and flags; README.md tells the rest.
# shellcheck disable=SC2034 # what is set here is read by the driver
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
title="FastSpeech 2: trains a voice on recordings and their transcripts, and speaks with it."
features="text, alignment, mel, pitch, energy, statistics"
infers="speak"
infer_command=bins.synthesize
infer_modes="single batch"

infer_flags() {
    cat <<'EOF'
infer_mode|MODE|single|single speaks --infer_text; batch speaks a testing set or a file of texts
infer_text|TEXT|none|what to say; for batch, a file with one text, or name|text, per line
infer_dataset|NAME|the first of the settings|corpus whose texts are spoken
infer_testing_set|SET|test|its part: test, valid, train or golden_test
infer_speaker_name|NAME|the only one|who speaks, where the model knows several
infer_language|CODE|the speaker's own|language of the texts, such as de
vocoder_dir|DIR|none: Griffin-Lim|what makes the sound: a vocoder's experiment, checkpoint or bundle, or an original HiFi-GAN
pitch_control|X|1|factor on the pitch in Hz
energy_control|X|1|factor on the energy
duration_control|X|1|factor on durations; 2 is half as fast
EOF
}

check_infer() {
    only_in batch infer_dataset
    if [ "$mode" = single ]; then
        [ -n "${flag_infer_text+given}" ] || usage_error "stage 3 needs --infer_text, or --infer_mode batch"
    elif [ -n "${flag_infer_text-}" ]; then
        flag_infer_text=$(whole_path "$flag_infer_text") # only here it is a file
    fi
}

demo_asks() {
    flag_infer_text=${flag_infer_text-This voice learned to speak from two hundred short sentences, in a few minutes.}
}

demo_begins() {
    [ ! -d "$demo_made/first/result" ] || return 0
    command='-m bins.synthesize --config "$flag_config" --infer_expt_dir "$root/ckpts/tts/kathleen" \
        --infer_text "This voice comes with Recital, and now you hear how one is made." --infer_output_dir "$demo_made/first/result"'
    with debug
    run
    say "listen to it while another voice is made, which takes some minutes"
}

. "$recipe_dir/../../driver.sh"
