# Stage 3 of every vocoder's recipe, which sources this file before the driver.
# shellcheck shell=sh disable=SC2034 # the driver reads these variables
infers="vocode mels to WAV files"
infer_command=bins.vocode
infer_modes="infer_from_dataset infer_from_feature infer_from_audio"

infer_flags() {
    cat <<'EOF'
infer_mode|MODE|infer_from_dataset|source of the mels: infer_from_dataset, infer_from_feature or infer_from_audio
infer_datasets|NAMES|those of the settings|infer_from_dataset: corpora prepared by stage 1, separated by commas or spaces
infer_testing_set|SET|test|infer_from_dataset: their split: test, valid, train or golden_test
infer_mel_source|TYPE|recorded|infer_from_dataset: recorded mels, or predicted ones as written by bins.predict_mels
infer_feature_dir|DIR|none|infer_from_feature: a feature store, processed_dir/NAME, or a folder of .npy mels
mel_scale|SCALE|natural, and checked|infer_from_feature: scale of .npy mels: natural, log10, log2 or linear
infer_audio_dir|DIR|none|infer_from_audio: a folder of recordings, subfolders included
precision|TYPE|fp32|stage 3: precision of the network: fp32, bf16 or, on a GPU, fp16
sigma|X|the vocoder's own|stage 3: spread of the noise that a WaveGlow makes waveforms from, 0 to 2
denoising_strength|X|0|stage 3: share of the vocoder's constant sound that is subtracted, such as 0.01
EOF
}

check_infer() {
    only_in infer_from_dataset infer_datasets infer_testing_set infer_mel_source
    only_in infer_from_feature infer_feature_dir mel_scale
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
    case ${flag_mel_scale-natural} in
        natural | log10 | log2 | linear) ;;
        *) usage_error "--mel_scale $flag_mel_scale: not natural, log10, log2 or linear" ;;
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
