# Runs the stages of a recipe. A recipe's run.sh sets these variables and functions, and sources this file:
#   recipe_dir, title           the recipe's folder, and the first line of its help
#   features, infers            what its stage 1 computes and its stage 3 does, for the help
#   infer_command, infer_modes  the command of stage 3, and its modes, the default first
#   corpus_command, makes       the command of a stage 0 of its own, and what it does, for the help
#   infer_flags                 prints the flags of stage 3 as `flags` below does, infer_mode among them
#   corpus_flags, corpus_asks   for a stage 0 of its own: prints its flags, and sets flag_<name> that were not given
#   check_infer                 ends with usage_error, or only_in, where the flags of stage 3 do not fit $mode
#   demo_asks                   sets flag_<name> for stage 3 of the demo
#   demo_begins                 runs what the demo shows before its stages
#   demo_remark                 what its results lack, for its end; nothing unless set
#   common_flags                prints the flags of all stages, in place of those below
#   first_stage, last_stage     0 and 4 unless set; a function own_stage_N replaces stage_N, and own_stages prints what
#                               the stages do, for the help
# POSIX sh: dash, bash and macOS's sh read it; there is no getopt here.
# shellcheck shell=sh
set -u

root=$recipe_dir
until [ -z "$root" ] || [ -f "$root/env.sh" ]; do root=${root%/*}; done # the nearest folder above that has it
start_dir=$(pwd)
unset CDPATH PYTHONSAFEPATH # either would keep `python -m bins.x` from finding the project

say() { printf '%s\n' "$*" >&2; }
usage_error() {
    say "error: $*; see --help"
    exit 2
}

if [ -z "${corpus_command-}" ]; then
    corpus_command=bins.download
    makes="download the published corpora among the settings' dataset into their dataset_path"
    corpus_flags() {
        cat <<'EOF'
mirror|URL|the official addresses|stage 0: address that has the archives under their official file names
EOF
    }
    corpus_asks() { :; }
fi

first_stage=${first_stage-0} last_stage=${last_stage-4}
if ! command -v own_stages >/dev/null; then
    own_stages() {
        cat <<EOF
  0  $makes
  1  corpus to features: $features
  2  train
  3  $infers
$([ "$last_stage" -lt 4 ] || echo "  4  evaluate: make the test split with the model, and measure it; a page, a table and each file's figures")
To use a corpus of your own, name its folder in the settings' dataset_path and skip stage 0.
EOF
    }
fi

# flag|value|default|meaning
# The default is what the command does without the flag; only flags that were given are passed on.
if ! command -v common_flags >/dev/null; then
    common_flags() {
        cat <<EOF
stage|N|none|stages to run: a number, a range (1-3) or all; -s for short
config|FILE|${recipe_dir#"$root"/}/exp_config.json|settings file of the experiment
name|NAME|none|name of the experiment, a folder in log_dir: stage 2 trains it, stage 3 uses it
set|KEY=VALUE|none|override one setting, as in train.batch_size=8; may be repeated
num_workers|N|every core|stage 1: number of processes
shard|N/M|the whole corpus|stage 1: run part N of M, on one of several machines that share processed_dir
cluster|ADDRESS|this machine alone|stages 1 and 4: work on a Dask cluster whose machines share the file system; its scheduler's address or file
gpu|LIST|the first, or the CPU if there is none|stages 2 and 3: GPUs to use, as in "0,1"; "" for the CPU
resume_type|TYPE|none|stage 2: resume keeps the settings the experiment began with; finetune starts from the weights of --checkpoint, or of ckpts/tts/english_base if it fits
checkpoint|DIR|the newest of the experiment|stage 2: checkpoint to resume or fine-tune from
main_process_port|PORT|any free one|stage 2: port through which several processes connect
infer_expt_dir|DIR|log_dir/NAME, or the only experiment there|stages 3 and 4: experiment, checkpoint or bundle to use
infer_output_dir|DIR|infer_expt_dir/result|stage 3: folder for the results
EOF
        [ "$last_stage" -lt 4 ] || cat <<'EOF'
dump_folder|DIR|infer_expt_dir/evaluation|stage 4: folder for the speech of the test split, the page and the figures
metrics|NAMES|all that are installed|stage 4: what to measure, as in "mcd pesq wer"
whisper_model|NAME|base.en, or base for other languages|stage 4: Whisper model of the word errors, or its folder
EOF
        corpus_flags
    }
fi
flags() {
    common_flags
    infer_flags
}

help() {
    cat <<EOF
$title

usage: sh ${recipe_dir#"$root"/}/run.sh --stage N|N-M|all [flags]
       sh ${recipe_dir#"$root"/}/run.sh --demo

stages
$(own_stages)

flags (--flag VALUE or --flag=VALUE)
EOF
    flags | while IFS='|' read -r flag value default meaning; do
        printf '  --%s %s\n        %s [default: %s]\n' "$flag" "$value" "$meaning" "$default"
    done
    cat <<EOF
  --overwrite
        stage 1: recompute all features; stage 3: replace existing results [default: off]
  --debug
        show the full traceback of an error [default: off]
  --demo
        create a small corpus and run every stage on it [default: off]
  --help, -h
        show this help
EOF
}

# --- The command line, into flag_<name>, set_<i> and the switches ---

for flag in $(flags | cut -d '|' -f 1); do unset "flag_$flag"; done
sets=0 first_set=1 debug='' overwrite='' demo=''
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) help; exit 0 ;;
        --demo) demo=yes; shift; continue ;;
        --debug) debug=yes; shift; continue ;;
        --overwrite) overwrite=yes; shift; continue ;;
        -s) flag=stage ;;
        --*) flag=${1#--} flag=${flag%%=*} ;;
        *) usage_error "$1 is not a flag" ;;
    esac
    case $flag in *-*) flag=$(printf '%s' "$flag" | tr - _) ;; esac # as other toolkits write flags
    case $flag in '' | *[!a-z_]*) usage_error "unknown flag $1" ;; esac # it is to be part of a variable's name
    flags | cut -d '|' -f 1 | grep -q -x -F -e "$flag" || usage_error "unknown flag --$flag"
    case $1 in
        --*=*) value=${1#*=} && shift ;;
        *)
            [ $# -ge 2 ] || usage_error "--$flag needs a value"
            case $2 in --*) usage_error "--$flag needs a value ($2 follows; write --$flag=$2 if that is the value)" ;; esac
            value=$2 && shift 2
            ;;
    esac
    if [ "$flag" = set ]; then
        case $value in *=*) ;; *) usage_error "--set $value: expected KEY=VALUE" ;; esac
        sets=$((sets + 1))
        eval "set_$sets=\$value"
    else
        eval "flag_$flag=\$value"
    fi
done

# only_in MODE FLAG...
only_in() {
    [ "$mode" = "$1" ] && return
    only_mode=$1
    shift
    for flag in "$@"; do
        eval "[ -z \"\${flag_$flag+given}\" ]" || usage_error "--$flag needs --infer_mode $only_mode"
    done
}

# Resolves a relative path against the current directory, then against the repository's root.
whole_path() {
    case $1 in
        '' | - | /* | [A-Za-z]:* | griffin_lim | none) printf '%s\n' "$1" ;; # words in place of a model's folder
        *)
            if [ ! -e "$start_dir/$1" ] && [ -e "$root/$1" ]; then
                printf "%s\n" "$root/$1"
            else
                printf "%s\n" "$start_dir/$1"
            fi
            ;;
    esac
}
for flag in $(flags | cut -d '|' -f 1,2 | grep -e '|DIR$' -e '|FILE$' | cut -d '|' -f 1); do
    eval "[ -z \"\${flag_$flag+given}\" ] || flag_$flag=\$(whole_path \"\$flag_$flag\")"
done

# How to call this recipe from where the user stands, for what commands advise next.
case $recipe_dir in
    "$start_dir") own_call=run.sh ;;
    "$start_dir"/*) own_call=${recipe_dir#"$start_dir"/}/run.sh ;;
    *) own_call=$recipe_dir/run.sh ;;
esac
quoted() { case $1 in *[!A-Za-z0-9_./=-]*) printf "'%s'" "$1" ;; *) printf '%s' "$1" ;; esac; }
own_call="sh $(quoted "$own_call")"
[ -z "${flag_config+given}" ] || own_call="$own_call --config $(quoted "$flag_config")"

demo_dir=$root/data/demo
demo_made=$demo_dir/${recipe_dir##*/}
if [ -n "$demo" ]; then
    flag_stage=${flag_stage-1-3}
    flag_config=$recipe_dir/demo.json
    flag_name=demo
    flag_infer_output_dir=$demo_made/result
    demo_asks
fi
flag_config=${flag_config-$recipe_dir/exp_config.json}
mode=${flag_infer_mode-${infer_modes%% *}}
case ${flag_stage-} in
    all) first=$first_stage last=$last_stage ;;
    [0-9]) first=$flag_stage last=$flag_stage ;;
    [0-9]-[0-9]) first=${flag_stage%-*} last=${flag_stage#*-} ;;
    '') usage_error "--stage is required: a number, a range such as 1-3, or all" ;;
    *) usage_error "--stage $flag_stage: not a number, a range such as 1-3, or all" ;;
esac
if [ "$first" -lt "$first_stage" ] || [ "$last" -gt "$last_stage" ]; then
    usage_error "--stage $flag_stage: the stages are $first_stage to $last_stage"
fi
[ "$first" -le "$last" ] || usage_error "--stage $flag_stage: the range ends before it starts"
if [ "$first" -le 2 ] && [ "$last" -ge 2 ] && [ -z "${flag_name-}" ]; then
    usage_error "stage 2 needs --name"
fi
if [ -n "${flag_shard+given}" ] && [ "$last" -ge 2 ]; then
    usage_error "--shard is for stage 1 alone; train when all parts are done: --stage 1"
fi
case ${flag_gpu-} in *[!0-9,]* | ,* | *, | *,,*) usage_error "--gpu $flag_gpu: not a list of numbers such as 0,1" ;; esac
case ${flag_num_workers-1} in '' | *[!0-9]*) usage_error "--num_workers $flag_num_workers: not a number" ;; esac
case ${flag_main_process_port-1} in '' | *[!0-9]*) usage_error "--main_process_port $flag_main_process_port: not a number" ;; esac
case ${flag_resume_type-resume} in resume | finetune) ;; *) usage_error "--resume_type $flag_resume_type: not resume or finetune" ;; esac
case " $infer_modes " in *" $mode "*) ;; *) usage_error "--infer_mode $mode: not one of $infer_modes" ;; esac
if [ "$last_stage" -ne 4 ]; then infer_stage=$last_stage; else infer_stage=3; fi
if [ "$first" -le "$infer_stage" ] && [ "$last" -ge "$infer_stage" ]; then check_infer; fi # now, not after hours of training

# --- The stages ---

# Appends to `command` the flags named, where they were given. It holds the names of variables only, never their
# values, so that eval reads any text, quotes and newlines included, as it stands.
with() {
    for flag in "$@"; do
        case $flag in
            set)
                i=$first_set
                while [ "$i" -le "$sets" ]; do
                    command="$command --set \"\$set_$i\""
                    i=$((i + 1))
                done
                ;;
            overwrite) [ -z "$overwrite" ] || command="$command --overwrite" ;;
            debug) [ -z "$debug" ] || command="$command --debug" ;;
            *) eval "[ -z \"\${flag_$flag+given}\" ]" || command="$command --$flag \"\$flag_$flag\"" ;;
        esac
    done
}
is_part='' # whether more commands of the same stage follow
run() {
    eval "set -- $command"
    RECITAL_RUN='' # no advice where a stage follows by itself
    if [ "$stage" = "$last" ] && [ -z "$demo$is_part" ]; then RECITAL_RUN=$own_call; fi
    export RECITAL_RUN
    # The last command replaces the shell, so that it receives signals and its exit code is the run's.
    if [ "$stage" = "$last" ] && [ -z "$demo$is_part" ]; then exec "$python" "$@"; fi
    "$python" "$@" || {
        status=$?
        say "stopped in stage $stage"
        exit $status
    }
}

stage_0() {
    command="-m $corpus_command"
    corpus_asks
    # shellcheck disable=SC2046 # names of flags, to be split
    with config $(corpus_flags | cut -d '|' -f 1) set debug
    run
}

stage_1() {
    command='-m bins.preprocess'
    with config num_workers shard cluster overwrite set debug
    run
}

stage_2() {
    command='-m bins.train'
    processes=$(printf '%s\n' "${flag_gpu-}" | tr ',' '\n' | wc -l | tr -d ' ')
    # One process needs no launcher, which would only intercept Ctrl-C.
    if [ "$processes" -gt 1 ]; then
        command="-m utils.launch --multi_gpu --num_machines 1 --num_processes $processes \
            --main_process_port ${flag_main_process_port:-0} --mixed_precision no --dynamo_backend no $command"
    fi
    with config name gpu resume_type checkpoint set debug
    run
}

stage_3() {
    command="-m $infer_command"
    # shellcheck disable=SC2046 # names of flags, to be split
    with config name infer_expt_dir infer_output_dir $(infer_flags | cut -d '|' -f 1) gpu overwrite set debug
    run
}

# Stage 4 makes the test split by itself, so that it needs no flags of stage 3.
stage_4() {
    command='-m bins.evaluate'
    vocoder=''
    if [ "$infer_command" = bins.synthesize ]; then vocoder=vocoder_dir; fi
    # shellcheck disable=SC2086 # no word where it is empty
    with config name infer_expt_dir $vocoder dump_folder metrics whisper_model cluster gpu set debug
    run
}

# --- The demo: every stage on a corpus that espeak-ng synthesizes ---

start_demo() {
    # An interrupted demo continues where it stopped; a finished one starts again. Results of other recipes' demos are
    # kept, except corpus and features, which all demos share.
    [ ! -f "$demo_made/done" ] || rm -rf "$demo_made" "$demo_dir/corpus" "$demo_dir/processed"
    rm -rf "$flag_infer_output_dir"
    mkdir -p "$demo_made" || exit 1
    # bf16 is three times as fast where the CPU supports it, and slow where it is emulated.
    if ! grep -q bf16 /proc/cpuinfo 2>/dev/null; then first_set=0 set_0=train.precision=fp32; fi
    stage=0
    demo_begins
    command='-m bins.make_demo_corpus --output_dir "$demo_dir/corpus"'
    with debug
    [ -f "$demo_dir/corpus/metadata.csv" ] || run
}

end_demo() {
    touch "$demo_made/done"
    printf '\nThe demo is complete.%s\n' "${demo_remark:+ $demo_remark}"
    recordings=$(find "$demo_made" -path '*/result/*.wav' | sort)
    [ -z "$recordings" ] || printf 'Listen to:\n%s\n' "$recordings"
    printf 'Look at:\n' && find "$demo_made" -path '*/result/*.png'
    find "$demo_dir" -path '*/processed/*.html'
    if [ "$infer_command" = bins.synthesize ]; then
        serve=$root/egs/serve/run.sh
        printf 'Open it as a page in the browser, with its pitch to take in hand:\n'
        printf 'sh %s --voice demo=%s\n' "$(quoted "${serve#"$start_dir"/}")" "${demo_made#"$root"/}/demo"
    fi
}

# --- Go ---

extras=''
[ -z "$demo" ] || extras=demo
python=$(sh "$root/env.sh" $extras) || exit 1
case $python in */*) python=$(whole_path "$python") ;; esac # PYTHON=./python: resolved before the cd below
if [ -n "${flag_gpu+given}" ]; then
    CUDA_VISIBLE_DEVICES=$flag_gpu
    export CUDA_VISIBLE_DEVICES
fi
cd "$root" || exit 1
[ -z "$demo" ] || start_demo
stage=$first
while [ "$stage" -le "$last" ]; do
    [ "$first" = "$last" ] || say "--- stage $stage"
    if command -v "own_stage_$stage" >/dev/null; then "own_stage_$stage"; else "stage_$stage"; fi
    stage=$((stage + 1))
done
[ -z "$demo" ] || end_demo
