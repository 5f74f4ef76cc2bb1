"""Voices for sherpa-onnx: its own program reads the files and speaks as the networks do."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from dataclasses import replace

import pytest
import torch

import bins.export
import models.export.sherpa_export
from models.export.ipa_symbols import IpaSymbols, spellings
from models.export.sherpa_export import SherpaError
from models.export.sherpa_graph import SherpaVitsGraph
from models.export.voice_graph import VoiceGraph
from models.fastspeech2.network import FastSpeech2
from models.registry import open_acoustic, open_vocoder_network
from processors.text.english import EnglishFrontEnd
from processors.text.espeak_phones import EspeakFrontEnd
from processors.text.symbols import SymbolTable
from processors.text.tokens import Word
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle

CPU = torch.device("cpu")
ONE = torch.ones(1)


def export(*arguments):
    bins.export.main(bins.export._parser().parse_args(list(map(str, arguments))))


def tiny_graph(bundle):
    symbols = list(bundle.symbols.symbols)
    voice = VoiceGraph(open_acoustic(bundle, CPU), open_vocoder_network(tiny_vocoder_bundle(), CPU))
    return SherpaVitsGraph(voice, symbols), voice, {symbol: number for number, symbol in enumerate([*symbols, " "])}


@torch.no_grad()
def test_blanks_are_left_out_and_a_text_ends_in_a_pause():
    graph, voice, number = tiny_graph(tiny_bundle(speakers=("anna", "ben")))
    for written, meant in (
        ("HH AH0   DH EH1 R", "sil HH AH0 DH EH1 R ."),
        ("HH AH0   , DH EH1 R   ?  ", "sil HH AH0 , DH EH1 R ?"),
        ("AH0", "sil AH0 ."),
    ):
        spaced = written.replace("   ", " | ").replace("  ", " |").split(" ")
        x = torch.tensor([[number[" " if each == "|" else each] for each in spaced if each]])
        found = graph(x, torch.tensor([x.shape[1]]), ONE, ONE * 2, ONE, torch.tensor([1]))
        ids = torch.tensor([[number[each] for each in meant.split(" ")]])
        assert torch.equal(found, voice(ids, torch.tensor([1]), ONE * 2)[None])


def test_the_lexicon_lists_each_word_with_its_first_pronunciation(tmp_path):
    (tmp_path / "mine.txt").write_text("zyx Z IH1 K S\nhello HH EH0 L OW1\n")
    listed = dict(EnglishFrontEnd("en", tmp_path / "mine.txt").listed())
    assert listed["zyx"] == ("Z", "IH1", "K", "S") and listed["hello"] == ("HH", "EH0", "L", "OW1")
    assert listed["don't"] == ("D", "OW1", "N", "T") and len(listed) > 126_000


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("preprocess.phone_extractor=char",), r"its front end \(char\) cannot be exported to sherpa-onnx"),
        (("preprocess.phone_extractor=espeak", "preprocess.language=zh"), "lacks the contours of tones"),
        ((), "--vocoder_dir"),
    ],
)
def test_voices_that_sherpa_onnx_cannot_speak_with_are_refused(tmp_path, settings, reason):
    tiny_bundle(*settings).save(tmp_path / "anna")
    with pytest.raises(Exception, match=reason):
        export("--bundle", tmp_path / "anna", "--format", "sherpa", "--output_dir", tmp_path / "out")
    tiny_vocoder_bundle().save(tmp_path / "vocoder")
    with pytest.raises(SherpaError, match="takes whole voices"):
        export("--bundle", tmp_path / "vocoder", "--format", "sherpa", "--output_dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def phones_of(text, language):
    return [
        phone
        for token in EspeakFrontEnd(language).tokens(text)
        for phone in (token.pronunciations[0] if isinstance(token, Word) else [token.symbol])
    ]


def test_ipa_is_grouped_as_the_front_end_does():
    for language, text in (
        ("en", "Church judge, little apple? A very boyish oyster."),
        ("de", "Zwölf Boxkämpfer jagen Viktor quer über den Deich."),
        ("fr", "Un bon vin blanc."),
        ("vi", "xin chào các bạn."),
    ):
        phones = phones_of(text, language)
        symbols = ["sil", *sorted(set(phones))]
        marks = {mark: mark for mark in ",.?" if mark in symbols}
        numbers = {written: symbols.index(each) for written, each in (spellings(symbols) | marks).items()}
        for form in ("NFC", "NFD"):
            points = torch.tensor([ord(each) for each in unicodedata.normalize(form, " ".join(phones) + "\u0361")])
            assert [symbols[each] for each in IpaSymbols(numbers)(points)] == phones
    # Joined, the longest symbol is taken; stress and letters that the voice lacks become the nearest.
    few = ["sil", "t", "ʃ", "tʃ", "ˈɜː", "a", "aɪ"]
    group = IpaSymbols({written: few.index(each) for written, each in spellings(few).items()})
    for written, meant in (
        ("tʃˈɜːtʃ", "tʃ ˈɜː tʃ"),
        ("t ʃaɪ", "t ʃ aɪ"),
        ("ˌaɪˈaː", "aɪ a"),
        ("ɜːd", "ˈɜː t"),
        ("~", ""),
    ):
        assert " ".join(few[each] for each in group(torch.tensor([*map(ord, written)]))) == meant


_SPEAK = """
import json, sys, numpy, sherpa_onnx
request = json.loads(sys.argv[1])
model = {request["slot"]: getattr(sherpa_onnx, request["config"])(**request["files"])}
config = sherpa_onnx.OfflineTtsConfig(model=sherpa_onnx.OfflineTtsModelConfig(**model), silence_scale=1.0)
tts = sherpa_onnx.OfflineTts(config)
assert (tts.sample_rate, tts.num_speakers) == (16000, 2)
for number, text in enumerate(request["texts"]):
    numpy.save(f"{number}.npy", numpy.array(tts.generate(text, sid=1, speed=0.5).samples, dtype="float32"))
"""


def spoken_by_sherpa(folder, slot, texts, **files):
    """Return what sherpa-onnx says, at half the pace by the second speaker, and its messages."""
    numpy = pytest.importorskip("numpy")
    config = f"OfflineTts{slot.capitalize()}ModelConfig"
    request = {"slot": slot, "config": config, "texts": list(texts)}
    request["files"] = {name: str(folder / file) for name, file in files.items()}
    # In a process of its own: it brings an onnxruntime of its own.
    call = [sys.executable, "-c", _SPEAK, json.dumps(request)]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [torch.from_numpy(numpy.load(folder / f"{place}.npy")) for place in range(len(texts))], done.stderr


def export_tiny_voice(bundle, folder):
    for library in ("onnx", "onnxscript", "sherpa_onnx"):
        pytest.importorskip(library)
    bundle.save(folder / "anna")
    tiny_vocoder_bundle().save(folder / "anna" / "vocoder")
    export("--bundle", folder / "anna", "--format", "sherpa", "--output_dir", folder / "out")
    _, voice, number = tiny_graph(bundle)
    return lambda phones: voice(
        torch.tensor([[number[phone] for phone in phones.split(" ")]]), torch.tensor([1]), torch.tensor([2.0])
    )[0]


@pytest.mark.slow
@torch.no_grad()
def test_sherpa_onnx_speaks_as_the_networks(tmp_path):
    speak = export_tiny_voice(tiny_bundle(speakers=("anna", "ben")), tmp_path)
    texts = {
        "Hello there, it rains.": "sil HH AH0 L OW1 DH EH1 R , IH1 T R EY1 N Z .",
        "Yes, 12 unlistedword no": "sil Y EH1 S , T W EH1 L V N OW1 .",
        "a": "sil AH0 .",
    }
    files = {"model": "model.onnx", "tokens": "tokens.txt", "lexicon": "lexicon.txt"}
    spoken, messages = spoken_by_sherpa(tmp_path / "out", "vits", texts, **files)
    assert "OOV unlistedword" in messages
    for phones, found in zip(texts.values(), spoken, strict=True):
        torch.testing.assert_close(found, speak(phones), rtol=0, atol=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_sherpa_onnx_speaks_espeak_phones_as_the_networks(tmp_path, monkeypatch):
    settings = ("preprocess.phone_extractor=espeak", "preprocess.language=en")
    bundle = tiny_bundle(*settings, speakers=("anna", "ben"))
    symbols = SymbolTable(("sil", *sorted(set(phones_of("Hello there, it rains? No. Oh yes!", "en")))))
    network = FastSpeech2.untrained(bundle.settings, symbols, bundle.speakers, bundle.statistics)
    bundle = replace(bundle, symbols=symbols, weights=network.state_dict())
    words = [(word, ()) for word in ("hello", "there", "it", "rains", "no", "yes")]
    monkeypatch.setattr(models.export.sherpa_export, "_entries", lambda front_end: words)
    speak = export_tiny_voice(bundle, tmp_path)
    out = tmp_path / "out"
    assert (out / "espeak-ng-data" / "phontab").is_file() and (out / "espeak-ng-data" / "en_dict").is_file()
    assert "hello h ə l ˈ o ʊ\n" in (out / "lexicon.txt").read_text(encoding="utf-8")
    texts = {"Hello there it rains?": "sil h ə l ˈoʊ ð ˈɛ ɹ ɪ t ɹ ˈeɪ n z ?", "no": "sil n ˈoʊ ."}
    files = {
        "acoustic_model": "model.onnx",
        "vocoder": "vocoder.onnx",
        "tokens": "tokens.txt",
        "lexicon": "lexicon.txt",
    }
    spoken, _ = spoken_by_sherpa(out, "matcha", texts, **files)
    for phones, found in zip(texts.values(), spoken, strict=True):
        torch.testing.assert_close(found, speak(phones), rtol=0, atol=1e-3)
