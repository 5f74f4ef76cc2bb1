#!/bin/sh
# A base voice, from texts to speech, by way of a teacher. --help lists stages and flags; README.md beside this file
# explains them.
# shellcheck disable=SC2034 # the driver reads these variables
recipe_dir=$(CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0" 2>/dev/null || printf '%s' "$0")")" && pwd) || exit 1
title="Base voice: train a voice on hours of another program's speech, for others to be fine-tuned from it."
features="text, alignment, mel, pitch, energy, statistics"
corpus_command=bins.make_teacher_corpus
makes="make the corpus: a teacher, another program, speaks texts"

corpus_flags() {
    cat <<'EOF'
texts|FILE|none|stage 0: texts, one a line; Debian's package wordnet-base or fortunes; or a folder of these
hours|N|7|stage 0: hours of speech
teacher|CMD|hibari-tts|stage 0: command that speaks a {text}, or its input, into {output}, or all of a {table}
teacher_name|NAME|that of hibari-tts|stage 0: the teacher, with version and voice
licence|NAME|that of hibari-tts|stage 0: licence of the teacher
EOF
}

# hibari-tts takes a second to start, so that it is given tables: lines of output, tab and text.
speak_table='import sys
from hibari import Hibari
teacher = Hibari()
for line in open(sys.argv[1], encoding="utf-8"):
    output, text = line.rstrip("\n").split("\t")
    teacher.save(text, output, seed=0)'

corpus_asks() {
    [ -n "${flag_texts-}" ] || usage_error "stage 0 needs --texts"
    flag_hours=${flag_hours-7}
    [ -z "${flag_teacher+given}" ] || return 0
    flag_teacher="$(quoted "$python") -c '$speak_table' {table}"
    flag_teacher_name=${flag_teacher_name-hibari-tts 0.2.1, voice heart (distilled from Kokoro-82M, af_heart)}
    flag_licence=${flag_licence-Apache-2.0}
}

demo_begins() { :; }

. "$recipe_dir/../tts/stage_3.sh"
. "$recipe_dir/../driver.sh"
