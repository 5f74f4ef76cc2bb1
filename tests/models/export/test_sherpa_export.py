"""Voices with a lexicon for sherpa-onnx: its own program reads the files and speaks as the networks do."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import bins.export
from models.export.sherpa_export import FILES, SherpaError
from models.export.sherpa_graph import SherpaVitsGraph
from models.export.voice_graph import VoiceGraph
from models.registry import open_acoustic, open_vocoder_network
from processors.text.english import EnglishFrontEnd
from processors.text.tokens import PAUSES
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle

CPU = torch.device("cpu")
ONE = torch.ones(1)


def export(*arguments):
    bins.export.main(bins.export._parser().parse_args(list(map(str, arguments))))


def tiny_graph(bundle):
    symbols = list(bundle.symbols.symbols)
    voice = VoiceGraph(open_acoustic(bundle, CPU), open_vocoder_network(tiny_vocoder_bundle(), CPU))
    is_pause = torch.tensor([symbol in PAUSES for symbol in symbols])
    graph = SherpaVitsGraph(
        voice, blank=len(symbols), silence=symbols.index("sil"), full_stop=symbols.index("."), is_pause=is_pause
    )
    return graph, voice, {symbol: number for number, symbol in enumerate([*symbols, " "])}


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


_SPEAK = """
import sys, numpy, sherpa_onnx
model, tokens, lexicon = sys.argv[1:4]
vits = sherpa_onnx.OfflineTtsVitsModelConfig(model=model, lexicon=lexicon, tokens=tokens)
config = sherpa_onnx.OfflineTtsConfig(model=sherpa_onnx.OfflineTtsModelConfig(vits=vits), silence_scale=1.0)
tts = sherpa_onnx.OfflineTts(config)
assert (tts.sample_rate, tts.num_speakers) == (16000, 2)
for number, text in enumerate(sys.argv[4:]):
    numpy.save(f"{number}.npy", numpy.array(tts.generate(text, sid=1, speed=0.5).samples, dtype="float32"))
"""


@pytest.mark.slow
@torch.no_grad()
def test_sherpa_onnx_speaks_as_the_networks(tmp_path):
    for library in ("onnx", "onnxscript", "sherpa_onnx"):
        pytest.importorskip(library)
    numpy = pytest.importorskip("numpy")
    bundle = tiny_bundle(speakers=("anna", "ben"))
    bundle.save(tmp_path / "anna")
    tiny_vocoder_bundle().save(tmp_path / "anna" / "vocoder")
    export("--bundle", tmp_path / "anna", "--format", "sherpa", "--output_dir", tmp_path / "out")
    _, voice, number = tiny_graph(bundle)
    texts = {
        "Hello there, it rains.": "sil HH AH0 L OW1 DH EH1 R , IH1 T R EY1 N Z .",
        "Yes, 12 unlistedword no": "sil Y EH1 S , T W EH1 L V N OW1 .",
        "a": "sil AH0 .",
    }
    # In a process of its own: it brings an onnxruntime of its own.
    files = [str(tmp_path / "out" / name) for name in FILES]
    done = subprocess.run([sys.executable, "-c", _SPEAK, *files, *texts], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "OOV unlistedword" in done.stderr
    for place, phones in enumerate(texts.values()):
        ids = torch.tensor([[number[phone] for phone in phones.split(" ")]])
        whole = voice(ids, torch.tensor([1]), torch.tensor([2.0]))[0]
        spoken = torch.from_numpy(numpy.load(tmp_path / f"{place}.npy"))
        torch.testing.assert_close(spoken, whole, rtol=0, atol=1e-3)
