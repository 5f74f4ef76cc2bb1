#!/bin/sh
# HiFi-GAN, from recordings to a vocoder. `sh run.sh --help` lists the stages and flags; README.md tells the rest.
# shellcheck disable=SC2034 # what is set here is read by the driver
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
title="HiFi-GAN: trains a vocoder on recordings, and makes mels audible with it."
features="mel, waveform"
infers="make mels audible"
infer_command=bins.vocode
infer_modes="infer_from_dataset infer_from_feature infer_from_audio"

infer_flags() {
    cat <<'EOF'
infer_mode|MODE|infer_from_dataset|infer_from_dataset, infer_from_feature or infer_from_audio: where mels come from
infer_datasets|NAMES|those of the settings|corpora that stage 1 has prepared, parted by commas or spaces
infer_testing_set|SET|test|their part: test, valid, train or golden_test
infer_mel_source|TYPE|recorded|their mels: recorded, or predicted as bins.predict_mels wrote them
infer_feature_dir|DIR|none|for infer_from_feature: a corpus's features, processed_dir/NAME, or a folder of .npy mels
infer_audio_dir|DIR|none|for infer_from_audio: a folder of recordings, sub-folders included
precision|TYPE|fp32|arithmetic of stage 3: fp32, bf16 or, on a GPU, fp16
EOF
}

check_infer() {
    only_in infer_from_dataset infer_datasets infer_testing_set infer_mel_source
    only_in infer_from_feature infer_feature_dir
    only_in infer_from_audio infer_audio_dir
    case $mode in
        infer_from_feature)
            [ -n "${flag_infer_feature_dir-}" ] || usage_error "--infer_mode $mode needs --infer_feature_dir" ;;
        infer_from_audio)
            [ -n "${flag_infer_audio_dir-}" ] || usage_error "--infer_mode $mode needs --infer_audio_dir" ;;
    esac
    case ${flag_infer_mel_source-recorded} in
        recorded | predicted) ;;
        *) usage_error "--infer_mel_source $flag_infer_mel_source: not recorded or predicted" ;;
    esac
    case ${flag_precision-fp32} in
        fp32 | bf16 | fp16) ;;
        *) usage_error "--precision $flag_precision: not fp32, bf16 or fp16" ;;
    esac
}

demo_asks() {
    :
}

demo_begins() { :; }

. "$recipe_dir/../../driver.sh"
