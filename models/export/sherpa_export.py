"""Voices for sherpa-onnx: graphs for its slots for VITS or Matcha, and the files of its front ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from models.bundle import Bundle
from models.export.graphs import Graph
from models.export.ipa_symbols import spellings
from models.export.onnx_files import write_graph
from models.export.sherpa_graph import SherpaMatchaGraph, SherpaVitsGraph
from models.export.voice_graph import VoiceGraph
from models.registry import kind_of
from processors.text.english import EnglishFrontEnd
from processors.text.espeak import espeak
from processors.text.ipa import LONG, STRESSES
from processors.text.tokens import Pronunciation, Word
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.version import VERSION

MODEL_FILE, TOKENS_FILE, LEXICON_FILE, VOCODER_FILE = "model.onnx", "tokens.txt", "lexicon.txt", "vocoder.onnx"
DATA_FOLDER = "espeak-ng-data"
_HIGHEST_NUMBER = 2100  # years, too; sherpa-onnx reads no numbers itself
_PUNCTUATION = {",": ",", ";": ",", ":": ",", ".": ".", "?": "?", "!": "!"}
"""Marks that sherpa-onnx passes on, and their symbols."""
_BLANK, _BEGIN, _END = "_", "^", "$"
"""Tokens that sherpa-onnx looks for in its slot for Matcha; none of IPA."""


class SherpaError(RecitalError):
    """A voice that sherpa-onnx cannot speak with."""


def sherpa_files(bundle: Bundle) -> tuple[str, ...]:
    """Return the names of the files of a voice, the folder of espeak-ng's among them.

    Raises:
        SherpaError: sherpa-onnx has no front end for the bundle, or it is of no acoustic model.
    """
    settings = bundle.settings
    if kind_of(settings.model_type) != "acoustic":
        raise SherpaError(f"{bundle.folder}: holds a {settings.model_type}; sherpa-onnx takes whole voices")
    extractor = settings.preprocess.phone_extractor
    languages = set(bundle.languages.values()) or {settings.preprocess.language}
    is_english = {each[:2] for each in languages} == {"en"}
    if extractor == "lexicon" and is_english:
        return (MODEL_FILE, TOKENS_FILE, LEXICON_FILE)
    if extractor != "espeak":
        raise SherpaError(
            f"{bundle.folder}: its front end ({extractor}) cannot be exported to sherpa-onnx; voices with "
            'preprocess.phone_extractor "espeak", and English ones with "lexicon", can'
        )
    if len(languages) > 1:
        raise SherpaError(f"{bundle.folder}: has {' and '.join(sorted(languages))}; sherpa-onnx takes one language")
    if espeak().is_tonal(espeak().voice_of(*languages)):
        raise SherpaError(
            f"{bundle.folder}: sherpa-onnx lacks the contours of tones, which {' '.join(languages)} needs"
        )
    files = (MODEL_FILE, VOCODER_FILE, TOKENS_FILE, DATA_FOLDER)
    return (*files, LEXICON_FILE) if is_english else files


def write_sherpa(folder: Path, bundle: Bundle, vocoder: Bundle) -> None:
    """Write `sherpa_files`.

    Args:
        folder: created if missing.
        bundle: of a voice that has them.
        vocoder: of it.

    Raises:
        ExportError: onnx or onnxscript is not installed.
        VoiceGraphError: a network cannot be exported.
    """
    bundle.require_front_end()
    assert bundle.symbols is not None
    write = _write_matcha if bundle.settings.preprocess.phone_extractor == "espeak" else _write_vits
    write(folder, bundle, VoiceGraph.of(bundle, vocoder), list(bundle.symbols.symbols))


def _write_vits(folder: Path, bundle: Bundle, voice: VoiceGraph, symbols: Sequence[str]) -> None:
    properties = {
        **_properties(bundle),
        "language": "English",
        "punctuation": " ".join(_PUNCTUATION),
    }
    text = torch.arange(1, 12) % len(symbols)
    text[[3, 7]] = len(symbols)  # blanks
    inputs = _inputs(bundle, text, "noise_scale", "length_scale", "noise_scale_w")
    write_graph(folder / MODEL_FILE, Graph(SherpaVitsGraph(voice, symbols), inputs, ("y",), shortest=3), properties)
    tokens = {symbol: number for number, symbol in enumerate(symbols) if symbol not in _PUNCTUATION}
    tokens |= {mark: symbols.index(symbol) for mark, symbol in _PUNCTUATION.items()}
    _write_tokens(folder, tokens | {" ": len(symbols)})  # the blank behind each word
    front_end = EnglishFrontEnd("en", bundle.lexicon_path or "", bundle.settings.preprocess.normalizer)
    known = set(symbols)
    _write_lexicon(folder, (entry for entry in _entries(front_end) if known.issuperset(entry[1])))


def _write_matcha(folder: Path, bundle: Bundle, voice: VoiceGraph, symbols: Sequence[str]) -> None:
    preprocess = bundle.settings.preprocess
    language = next(iter(bundle.languages.values()), preprocess.language)
    spoken = espeak().voice_of(language)
    written = spellings(symbols) | _PUNCTUATION
    # Each token's number is its code point: that is what sherpa-onnx 2 passes for punctuation, whatever is in the file.
    tokens = {*"".join(written), *STRESSES, *LONG, " ", _BLANK, _BEGIN, _END}
    properties = {
        **_properties(bundle),
        "model_type": "matcha-tts",
        "language": language,
        "has_espeak": "1",
        "voice": spoken,
        "jieba": "0",
        "use_eos_bos": "0",
        "pad_id": str(ord(_BLANK)),
    }
    graph = SherpaMatchaGraph(voice, symbols, written, blank=ord(_BLANK))
    text = torch.tensor([ord(each) for each in _BLANK.join(list(written)[:6])])
    inputs = _inputs(bundle, text, "noise_scale", "length_scale")
    write_graph(folder / MODEL_FILE, Graph(graph, inputs, ("mel",), shortest=3), properties)
    vocoder = Graph(voice.vocoder, {"mel": torch.zeros(1, preprocess.n_mel, 20)}, ("audio",), shortest=8)
    write_graph(folder / VOCODER_FILE, vocoder, {**_properties(bundle), "model_type": "hifigan"})
    _write_tokens(folder, {each: ord(each) for each in sorted(tokens)})
    shutil.copytree(espeak().data_folder, folder / DATA_FOLDER, dirs_exist_ok=True)
    if LEXICON_FILE in sherpa_files(bundle):
        words = _entries(EnglishFrontEnd("en", "", preprocess.normalizer))
        entries = ((word, espeak().words(word, spoken)) for word, _ in words)
        _write_lexicon(folder, ((word, "".join(chain.from_iterable(chain(*phones)))) for word, phones in entries))


def _properties(bundle: Bundle) -> Mapping[str, str]:
    return {
        "sample_rate": str(bundle.settings.preprocess.sample_rate),
        "n_speakers": str(len(bundle.speakers)),
        "comment": f"recital {VERSION}",  # sherpa-onnx takes some names here for other kinds of models
    }


def _write_tokens(folder: Path, tokens: Mapping[str, int]) -> None:
    write_atomically(folder / TOKENS_FILE, "".join(f"{token} {number}\n" for token, number in tokens.items()))


def _write_lexicon(folder: Path, entries: Iterable[tuple[str, Iterable[str]]]) -> None:
    write_atomically(folder / LEXICON_FILE, "".join(f"{word} {' '.join(phones)}\n" for word, phones in entries))


def _inputs(bundle: Bundle, text: Tensor, *scales: str) -> dict[str, Tensor]:
    speaker = {"sid": torch.zeros(1, dtype=torch.long)} if len(bundle.speakers) > 1 else {}
    return {
        "x": text[None],
        "x_length": torch.tensor([len(text)]),
        **{name: torch.ones(1) for name in scales},
        **speaker,
    }


def _entries(front_end: EnglishFrontEnd) -> Iterator[tuple[str, Pronunciation]]:
    """Yield words, and numbers as written in figures, with their phones."""
    yield from front_end.listed()
    for number in range(_HIGHEST_NUMBER):
        words = [token for token in front_end.tokens(str(number)) if isinstance(token, Word)]
        yield str(number), tuple(phone for word in words for phone in word.pronunciations[0])
