"""Voices for sherpa-onnx: one graph in its slot for VITS, with the lexicon and the symbols in its formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from models.bundle import Bundle
from models.export.graphs import Graph
from models.export.onnx_files import write_graph
from models.export.sherpa_graph import SherpaVitsGraph
from models.export.voice_graph import VoiceGraph
from models.registry import kind_of
from processors.text.english import EnglishFrontEnd
from processors.text.tokens import PAUSES, SILENCE, Pronunciation, Word
from utils.errors import RecitalError
from utils.files import write_atomically
from utils.version import VERSION

FILES = ("model.onnx", "tokens.txt", "lexicon.txt")
_HIGHEST_NUMBER = 2100  # years, too; sherpa-onnx reads no numbers itself
_FULL_STOP = "."
_PUNCTUATION = {",": ",", ";": ",", ":": ",", ".": ".", "?": "?", "!": "!"}
"""Marks that sherpa-onnx passes on, and their symbols."""


class SherpaError(RecitalError):
    """A voice that sherpa-onnx cannot speak with."""


def require_lexicon(bundle: Bundle) -> None:
    """Raise a `SherpaError` unless a bundle is of an English voice with a lexicon."""
    settings = bundle.settings
    if kind_of(settings.model_type) != "acoustic":
        raise SherpaError(f"{bundle.folder}: holds a {settings.model_type}; sherpa-onnx takes whole voices")
    extractor, languages = settings.preprocess.phone_extractor, set(bundle.languages.values())
    if extractor != "lexicon" or {each[:2] for each in languages or {settings.preprocess.language}} != {"en"}:
        raise SherpaError(
            f"{bundle.folder}: its front end ({extractor}) cannot be exported to sherpa-onnx; English "
            'voices with preprocess.phone_extractor "lexicon" can'
        )


def write_sherpa(folder: Path, bundle: Bundle, vocoder: Bundle) -> None:
    """Write `FILES`.

    Args:
        folder: created if missing.
        bundle: of an English voice with a lexicon.
        vocoder: of it.

    Raises:
        ExportError: onnx or onnxscript is not installed.
        VoiceGraphError: a network cannot be exported.
    """
    bundle.require_front_end()
    assert bundle.symbols is not None
    symbols = list(bundle.symbols.symbols)
    graph = SherpaVitsGraph(
        VoiceGraph.of(bundle, vocoder),
        blank=len(symbols),
        silence=symbols.index(SILENCE),
        full_stop=symbols.index(_FULL_STOP),
        is_pause=torch.tensor([symbol in PAUSES for symbol in symbols]),
    )
    properties = {
        "sample_rate": str(bundle.settings.preprocess.sample_rate),
        "n_speakers": str(len(bundle.speakers)),
        "language": "English",
        "punctuation": " ".join(_PUNCTUATION),
        "comment": f"recital {VERSION}",  # sherpa-onnx takes some names here for other kinds of models
    }
    inputs = _inputs(len(symbols), has_speakers=len(bundle.speakers) > 1)
    write_graph(folder / FILES[0], Graph(graph, inputs, ("y",), shortest=3), properties)
    tokens = [f"{symbol} {number}" for number, symbol in enumerate(symbols) if symbol not in _PUNCTUATION]
    tokens += [f"{mark} {symbols.index(symbol)}" for mark, symbol in _PUNCTUATION.items()]
    tokens.append(f"  {len(symbols)}")  # the blank behind each word
    write_atomically(folder / FILES[1], "\n".join(tokens) + "\n")
    known = set(symbols)
    front_end = EnglishFrontEnd("en", bundle.lexicon_path or "", bundle.settings.preprocess.normalizer)
    lines = (f"{word} {' '.join(phones)}" for word, phones in _entries(front_end) if known.issuperset(phones))
    write_atomically(folder / FILES[2], "\n".join(lines) + "\n")


def _inputs(n_symbols: int, *, has_speakers: bool) -> dict[str, Tensor]:
    text = torch.arange(1, 12) % n_symbols
    text[[3, 7]] = n_symbols  # blanks
    scales = {name: torch.ones(1) for name in ("noise_scale", "length_scale", "noise_scale_w")}
    speaker = {"sid": torch.zeros(1, dtype=torch.long)} if has_speakers else {}
    return {"x": text[None], "x_length": torch.tensor([len(text)]), **scales, **speaker}


def _entries(front_end: EnglishFrontEnd) -> Iterator[tuple[str, Pronunciation]]:
    """Yield words, and numbers as written in figures, with their phones."""
    yield from front_end.listed()
    for number in range(_HIGHEST_NUMBER):
        words = [token for token in front_end.tokens(str(number)) if isinstance(token, Word)]
        yield str(number), tuple(phone for word in words for phone in word.pronunciations[0])
