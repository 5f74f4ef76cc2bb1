"""English is aligned from plain text, near to MFA's times and to exact ones."""

from __future__ import annotations

import csv
from itertools import pairwise

import numpy as np
import pytest

from processors.alignment.intervals import AlignmentError
from processors.alignment.pauses_from_alignment import phones_with_pauses
from processors.alignment.pocketsphinx_aligner import PocketsphinxAligner
from processors.alignment.textgrid import read_textgrid
from processors.audio.audio_file import read_audio
from processors.text.front_end import make_front_end
from processors.text.tokens import Pause, Word
from tests.support.alignment_comparison import boundary_differences

SAMPLE_RATE = 22050


@pytest.fixture(scope="module")
def extractor():
    return make_front_end("lexicon")


@pytest.fixture(scope="module")
def aligner():
    return PocketsphinxAligner()


@pytest.fixture(scope="module")
def spoken():
    """Texts spoken by espeak-ng, with their exact alignments."""
    pytest.importorskip("espeakng_loader", reason="needs the demo extra for a voice with exact times")
    from processors.corpora.demo_corpus import speak

    texts = ["The kettle whistled while we watched the rain.", "Could you pass me the blue umbrella, please?"]
    return [(text, *speak(text, SAMPLE_RATE)) for text in texts]


def labels(alignment):
    return [phone.label for phone in alignment.phones if not phone.is_silence]


@pytest.mark.slow
def test_phones_begin_where_the_montreal_forced_aligner_has_them(shared_data, extractor, aligner):
    corpus = shared_data / "ljspeech_mini"
    with (corpus / "LJSpeech-1.1" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        texts = {row[0]: row[2] for row in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE)}
    differences_s = []
    for utterance_id in list(texts)[:8]:
        waveform = read_audio(corpus / "LJSpeech-1.1" / "wavs" / f"{utterance_id}.wav", SAMPLE_RATE)
        reference = read_textgrid(corpus / "TextGrid" / "LJSpeech" / f"{utterance_id}.TextGrid")
        ours = aligner.align(utterance_id, waveform, SAMPLE_RATE, extractor.tokens(texts[utterance_id]))
        assert ours.end_s == pytest.approx(reference.end_s, abs=0.01)
        differences_s.append(boundary_differences(reference, ours))
        assert len(differences_s[-1]) > 0.9 * len(labels(reference))
    apart_s = np.abs(np.concatenate(differences_s))
    assert np.median(apart_s) <= 0.010
    assert (apart_s <= 0.050).mean() >= 0.95


def test_phones_begin_at_the_times_of_espeak(spoken, extractor, aligner):
    apart_s: list[float] = []
    for text, waveform, exact in spoken:
        ours = aligner.align(text, waveform, SAMPLE_RATE, extractor.tokens(text))
        apart_s.extend(np.abs(boundary_differences(exact, ours)))
    assert np.median(apart_s) <= 0.015
    assert np.mean(np.array(apart_s) <= 0.050) >= 0.9


def test_tiers_have_no_gaps_from_start_to_end(spoken, extractor, aligner):
    text, waveform, _ = spoken[1]
    alignment = aligner.align("clip", waveform, SAMPLE_RATE, extractor.tokens(text))
    for tier in (alignment.words, alignment.phones):
        assert tier[0].start_s == 0.0
        assert tier[-1].end_s == len(waveform) / SAMPLE_RATE
        assert all(before.end_s == after.start_s for before, after in pairwise(tier))
        assert all(each.end_s > each.start_s for each in tier)
    assert [word.label for word in alignment.words if word.label] == [
        token.text for token in extractor.tokens(text) if isinstance(token, Word)
    ]
    aligned = phones_with_pauses(extractor.tokens(text), alignment)
    assert aligned.phones[0] == "sil" and aligned.phones[-1] == "?" and "," in aligned.phones


def test_the_spoken_pronunciation_is_chosen_with_its_stress(spoken, aligner, extractor):
    text, waveform, _ = spoken[0]
    tokens = [
        Word("rain", (("R", "AH0", "P", "IY1", "T"), ("R", "EY2", "N"), ("R", "EY1", "N")))
        if each.text == "rain"
        else each
        for each in extractor.tokens(text)
        if isinstance(each, Word)
    ]
    assert labels(aligner.align("clip", waveform, SAMPLE_RATE, tokens))[-3:] == ["R", "EY2", "N"]


@pytest.mark.slow
def test_alignments_do_not_depend_on_earlier_recordings(spoken, extractor, aligner):
    clips = [(waveform, extractor.tokens(text)) for text, waveform, _ in spoken]
    alone = [PocketsphinxAligner().align("clip", waveform, SAMPLE_RATE, tokens) for waveform, tokens in clips]
    for order in ((0, 1, 0), (1, 1, 0)):
        for index in order:
            waveform, tokens = clips[index]
            assert aligner.align("clip", waveform, SAMPLE_RATE, tokens) == alone[index]


def test_a_recording_cut_into_its_words_loses_no_phone(spoken, extractor, aligner):
    text, waveform, exact = spoken[0]
    starts, ends = exact.phones[1].start_s + 0.03, exact.phones[-2].end_s - 0.03
    cut = waveform[round(starts * SAMPLE_RATE) : round(ends * SAMPLE_RATE)]
    whole = aligner.align("clip", waveform, SAMPLE_RATE, extractor.tokens(text))
    assert len(labels(aligner.align("clip", cut, SAMPLE_RATE, extractor.tokens(text)))) == len(labels(whole))


def test_other_words_score_worse_or_are_not_found(spoken, extractor, aligner):
    (text, waveform, _), (other_text, _, _) = spoken
    own = aligner.align("clip", waveform, SAMPLE_RATE, extractor.tokens(text))
    try:
        other = aligner.align("clip", waveform, SAMPLE_RATE, extractor.tokens(other_text))
    except AlignmentError as error:
        assert "clip" in str(error)
    else:
        assert other.score < own.score


def test_nothing_is_printed(spoken, extractor, capfd):
    text, waveform, _ = spoken[0]
    aligner = PocketsphinxAligner()
    aligner.align("clip", waveform, SAMPLE_RATE, extractor.tokens(text))
    with pytest.raises(AlignmentError, match="clip: cannot find its"):
        noise = np.random.default_rng(0).standard_normal(len(waveform)) * 1e-4
        aligner.align("clip", noise.astype(np.float32), SAMPLE_RATE, extractor.tokens(text))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("duration_s", "tokens", "message"),
    [
        (0.1, [Word("hello", (("HH", "AH0", "L", "OW1"),))], r"clip: 0\.10 s of audio for 1 words of 4 phones"),
        (0.0, [Word("a", (("AH0",),))], r"clip: 0\.00 s"),
        (1.0, [Pause(".")], "for 0 words"),
        (1.0, [Word("ja", (("j", "aː"),))], r"clip: 'ja' is pronounced 'j aː'.*ARPAbet only"),
        (130.0, [Word("a", (("AH0",),))], "lasts 130 s.*cut it"),
    ],
)
def test_what_cannot_be_aligned_is_named(aligner, duration_s, tokens, message):
    with pytest.raises(AlignmentError, match=message):
        aligner.align("clip", np.zeros(round(duration_s * 16000), np.float32), 16000, tokens)
