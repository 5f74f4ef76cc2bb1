"""Speech is recognised by the words of a text that it is a part of."""

from __future__ import annotations

import csv
from itertools import pairwise

import pytest

from processors.alignment.intervals import AlignmentError
from processors.alignment.pocketsphinx_reader import PocketsphinxReader
from processors.audio.audio_file import read_recording
from processors.evaluation.measures.word_errors import count_word_errors


@pytest.mark.slow
def test_speech_is_recognised_by_the_words_of_a_text_that_it_is_a_part_of(shared_data):
    corpus = shared_data / "ljspeech_mini" / "LJSpeech-1.1"
    with (corpus / "metadata.csv").open(encoding="utf-8", newline="") as file:
        texts = {row[0]: row[2] for row in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE)}
    reader = PocketsphinxReader("en", "\n".join(texts.values()))
    for utterance_id in list(texts)[:2]:
        recording = read_recording(corpus / "wavs" / f"{utterance_id}.wav")
        words = reader.read(recording.waveform, recording.sample_rate)
        assert count_word_errors(texts[utterance_id], " ".join(word.label for word in words)).errors == 0
        assert all(left.end_s <= right.start_s for left, right in pairwise(words))
        assert 0.0 <= words[0].start_s < words[-1].end_s <= len(recording.waveform) / recording.sample_rate


def test_a_text_without_words_is_refused():
    with pytest.raises(AlignmentError, match="no words"):
        PocketsphinxReader("en", " ... ")
