# Stage 3 of every recipe of an acoustic model, which sources this file before the driver.
# shellcheck shell=sh disable=SC2034 # the driver reads these variables
infers="synthesize speech"
infer_command=bins.synthesize
infer_modes="single batch"

infer_flags() {
    cat <<'EOF'
infer_mode|MODE|single|single synthesizes --infer_text; batch a file of texts or a split of a corpus
infer_text|TEXT|none|text to synthesize; for batch, a file of texts: lines, name|text, a filelist, a table or JSON lines
text_file|FILE|none|single: a file of one text of any length, such as a book, in place of --infer_text; - for standard input
wav_per|WHAT|text|single: text for one WAV file, paragraph for one of each paragraph
infer_dataset|NAME|the first of the settings|batch: corpus whose texts are synthesized
infer_testing_set|SET|test|batch: its split: test, valid, train or golden_test
infer_speaker_name|NAME|the only one|speaker, for voices with several
infer_language|CODE|the speaker's own|language of the texts, such as de
vocoder_dir|DIR|the voice's own, or the shipped one|vocoder: an experiment, checkpoint or bundle, an original HiFi-GAN, or griffin_lim
pace|X|1|factor on the speed; pauses that are asked for stay
pitch_amplify|X|1|factor on the distance of the pitch from the speaker's mean
pitch_shift_hz|X|0|added to the pitch, in Hz
pitch_shift_semitones|X|0|added to the pitch, in semitones
energy_db|X|0|added to the level, in dB
prosody|FILE|none|JSON for the text and single words and phones, or durations as a TextGrid
prosody_from|FILE|none|a recording of the same words, whose durations, pitch and level are taken over
reference_audio|FILE|none|a recording of any text, whose manner of speaking is taken over; for a DelightfulTTS
fade_out_ms|X|0|length of a fade at the end, in ms
pitch_control|X|1|factor on pitch, in Hz
energy_control|X|1|factor on energy
duration_control|X|1|factor on durations; 2 is half the pace
sentence_pause_s|S|0.35|least pause between sentences, in seconds
paragraph_pause_s|S|0.75|least pause between paragraphs, which blank lines separate, in seconds
sigma|X|the vocoder's own|spread of the noise that a WaveGlow makes waveforms from, 0 to 2
denoising_strength|X|0|share of the vocoder's constant sound that is subtracted, such as 0.01
markup|MODE|auto|whether the texts are SSML: auto, ssml or none
lexicon|FILE|none|pronunciations over those of the voice
times|FILE|none|for one text: a file for the times of its words, phones, visemes, marks and captions, by its ending .TextGrid, .json, .srt or .vtt
times_format|LIST|none|such files beside each recording, as in json,srt
stream|FORMAT|none|write the sound to standard output as it is computed: wav, or raw for 16-bit samples without a header; no files are written
precision|TYPE|the fastest of the device, of fp32 and bf16|stage 3: arithmetic of decoder and vocoder: fp32, bf16 or, on a GPU, fp16
device|NAME|as --gpu|stage 3: device in torch's words: cpu, cuda, or such as cuda:1
EOF
}

check_infer() {
    case ${flag_precision-fp32} in
        fp32 | bf16 | fp16) ;;
        *) usage_error "--precision $flag_precision: not fp32, bf16 or fp16" ;;
    esac
    [ -z "${flag_device+given}" ] || [ -z "${flag_gpu+given}" ] || usage_error "--device and --gpu are the same choice; give one"
    only_in batch infer_dataset
    if [ "$mode" = single ]; then
        [ -n "${flag_infer_text+given}${flag_text_file+given}" ] ||
            usage_error "stage 3 needs --infer_text, --text_file or --infer_mode batch"
    elif [ -n "${flag_infer_text-}" ]; then
        flag_infer_text=$(whole_path "$flag_infer_text") # a file in this mode alone
    fi
}

demo_asks() {
    [ -n "${flag_text_file+given}" ] || flag_infer_text=${flag_infer_text-This voice was trained on two hundred short sentences, in a few minutes.}
}
