#!/bin/sh
# A person's own voice: acoustic model and vocoder, fine-tuned on minutes of recordings. --help lists stages and flags;
# README.md beside this file explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="A voice of your own: fine-tune the base voice and the shipped vocoder on your recordings."
infer_modes="batch single"
first_stage=1
last_stage=5

own_stages() {
    cat <<'EOF'
  1  corpus to features, of the acoustic model and the vocoder
  2  fine-tune the acoustic model from the base voice, then its decoder against a discriminator of mels
  3  predict the mels of the recordings with it
  4  fine-tune the vocoder on these
  5  write the voice to voices_dir/NAME/bundle, speak with it, and compare with the recordings
EOF
}

common_flags() {
    cat <<'EOF'
stage|N|none|stages to run: a number, a range (1-3) or all; -s for short
config|FILE|egs/voice/exp_config.json|settings file: your recordings, and the training of the acoustic model
name|NAME|none|name of the voice
set|KEY=VALUE|none|override one setting, as in train.max_steps=500, or of the trainings that follow, as in sharpen.train.max_steps=500 and vocoder.train.max_steps=500; may be repeated
num_workers|N|every core|stage 1: number of processes
gpu|LIST|the first, or the CPU if there is none|stages 2 to 5: GPUs to use, as in "0"; "" for the CPU
infer_output_dir|DIR|voices_dir/NAME/result|stage 5: folder for what is spoken
EOF
}

infer_flags() {
    cat <<'EOF'
voices_dir|DIR|ckpts/voices|folder of voices: voices_dir/NAME gets everything
base_dir|DIR|ckpts/tts/english_base|stage 2: acoustic model to start from; none trains from nothing
base_vocoder_dir|DIR|ckpts/vocoder/lyre|stage 4: vocoder to start from
infer_mode|MODE|batch|stage 5: batch speaks the test split and reports; single speaks --infer_text
infer_text|TEXT|none|stage 5: text to speak with infer_mode single
EOF
}

check_infer() {
    [ "$mode" != single ] || [ -n "${flag_infer_text+given}" ] || usage_error "--infer_mode single needs --infer_text"
}

demo_asks() { usage_error "this recipe has no demo; $recipe_dir/README.md shows a first voice"; }
demo_begins() { :; }

find_voice() {
    [ -n "${flag_name-}" ] || usage_error "stage $stage needs --name"
    voice=${flag_voices_dir-$root/ckpts/voices}/$flag_name
}

# in_voice acoustic|sharpen|vocoder: adds the settings of one of the three trainings. The last two share corpora and
# preprocessing with the first, and --set has their names before the keys that are for them.
in_voice() {
    find_voice
    if [ "$1" = acoustic ]; then
        command="$command --config \"\$flag_config\""
    else
        command="$command --config \"\$recipe_dir/$1.json\" --data_config \"\$flag_config\""
    fi
    command="$command --set \"log_dir=\$voice\""
    i=1
    while [ "$i" -le "$sets" ]; do
        eval "value=\$set_$i"
        case $1:$value in
            "$1:$1".*)
                eval "own_set_$i=\${set_$i#"$1".}"
                command="$command --set \"\$own_set_$i\""
                ;;
            *:vocoder.* | *:sharpen.*) ;;
            acoustic:* | *:dataset* | *:preprocess.*) command="$command --set \"\$set_$i\"" ;;
        esac
        i=$((i + 1))
    done
}

# start_from DIR EXPERIMENT: fine-tunes, unless the experiment has begun, which is then resumed
start_from() {
    [ -d "$voice/$2/checkpoint" ] || [ "$1" = none ] || command="$command --resume_type finetune --checkpoint \"$1\""
}

own_stage_1() {
    is_part=yes
    command='-m bins.preprocess'
    in_voice acoustic
    with num_workers overwrite debug
    run
    is_part=''
    command='-m bins.preprocess'
    in_voice vocoder
    with num_workers debug
    run
}

own_stage_2() {
    is_part=yes
    command='-m bins.train --name smooth'
    in_voice acoustic
    start_from "${flag_base_dir-$root/ckpts/tts/english_base}" smooth
    with gpu debug
    run
    is_part=''
    command='-m bins.train --name acoustic'
    in_voice sharpen
    start_from "$voice/smooth" acoustic
    with gpu debug
    run
}

own_stage_3() {
    command='-m bins.predict_mels --name acoustic'
    in_voice acoustic
    with gpu debug
    run
}

own_stage_4() {
    command='-m bins.train --name vocoder'
    in_voice vocoder
    start_from "${flag_base_vocoder_dir-$root/ckpts/vocoder/lyre}" vocoder
    with gpu debug
    run
}

own_stage_5() {
    is_part=yes
    command='-m bins.export --format bundle --precision fp16 --overwrite --bundle "$voice/acoustic" \
        --vocoder_dir "$voice/vocoder" --output_dir "$voice/bundle"'
    find_voice
    with debug
    run
    results=${flag_infer_output_dir-$voice/result}
    if [ "$mode" = single ]; then
        is_part=''
        command='-m bins.synthesize --infer_expt_dir "$voice/bundle" --infer_text "$flag_infer_text" \
            --infer_output_dir "$results"'
        in_voice acoustic
        with gpu debug
        run
        return
    fi
    command='-m bins.vocode --infer_expt_dir "$voice/bundle/vocoder" --infer_output_dir "$voice/copies" --overwrite'
    in_voice acoustic
    with gpu debug
    run
    command='-m bins.synthesize --infer_expt_dir "$voice/bundle" --infer_mode batch --infer_output_dir "$results" \
        --overwrite'
    in_voice acoustic
    with gpu debug
    run
    is_part=''
    command='-m bins.evaluate --reference_folder "$voice/copies/gt" --generated_folder "$results" --output "$voice/evaluation.json" \
        --dump_folder "$voice/evaluation"'
    with debug
    run
}

. "$recipe_dir/../driver.sh"
