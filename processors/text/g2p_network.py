"""Grapheme-to-phoneme network for words outside the lexicon."""

from __future__ import annotations

import zipfile
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from processors.text.arpabet import PHONES
from processors.text.errors import TextError

_GRAPHEMES = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
# The checkpoint has every phone, and "UW" without stress, which occurred in its training lexicon.
_OUTPUTS = ("<pad>", "<unk>", "<s>", "</s>", *sorted([*PHONES, "UW"]))
_UNKNOWN, _START, _END = 1, 2, 3

_HIDDEN = 256
_SHAPES = {
    "enc_emb": (29, 256), "enc_w_ih": (768, 256), "enc_w_hh": (768, 256), "enc_b_ih": (768,), "enc_b_hh": (768,),
    "dec_emb": (74, 256), "dec_w_ih": (768, 256), "dec_w_hh": (768, 256), "dec_b_ih": (768,), "dec_b_hh": (768,),
    "fc_w": (74, 256), "fc_b": (74,),
}  # fmt: skip


def checkpoint_path() -> Path:
    """Locate the weights in the installed `g2p_en` wheel without running its code.

    It must not be imported: its `__init__` imports nltk and downloads data.

    Raises:
        TextError: the wheel is not installed, or holds no weights.
    """
    package = find_spec("g2p_en")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "checkpoint20.npz"
        if path.is_file():
            return path
    raise TextError(
        "the network for unknown words is not installed; run `pip install --no-deps g2p_en==2.1.0`, "
        "or put every word of your texts in a user lexicon"
    )


class G2PNetwork:
    """A GRU encoder-decoder from letters to ARPAbet, with the weights of the `g2p_en` wheel, in numpy.

    One word takes about half a millisecond. The weights (3.3 MB) are read with the first word.

    Args:
        path: the checkpoint; by default the installed wheel's.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def __call__(self, word: str) -> tuple[str, ...]:
        """Predict the pronunciation of a word.

        Args:
            word: lower-case letters a to z; other characters are ignored.

        Returns:
            ARPAbet phones; empty if the word holds no letter.

        Raises:
            TextError: the weights are missing or damaged.
        """
        graphemes = [_GRAPHEMES.index(letter) for letter in word if "a" <= letter <= "z"]
        if not graphemes:
            return ()
        hidden = np.zeros(_HIDDEN, np.float32)
        for grapheme in (*graphemes, _GRAPHEMES.index("</s>")):
            hidden = _gru_step(self._weights["encoder_inputs"][grapheme], hidden, *self._encoder)
        phones: list[str] = []
        output = _START
        # At most three phones per letter ("x" is K S), to end loops.
        for _ in range(3 * len(graphemes) + 2):
            hidden = _gru_step(self._weights["decoder_inputs"][output], hidden, *self._decoder)
            scores = hidden @ self._weights["fc_w"] + self._weights["fc_b"]
            scores[:_END] = -np.inf  # padding, "unknown" and a second start are no phones
            output = int(scores.argmax())
            if output == _END:
                break
            phones.append("UW1" if _OUTPUTS[output] == "UW" else _OUTPUTS[output])
        return tuple(phones)

    @property
    def _encoder(self) -> tuple[np.ndarray, np.ndarray]:
        return self._weights["enc_w_hh"], self._weights["enc_b_hh"]

    @property
    def _decoder(self) -> tuple[np.ndarray, np.ndarray]:
        return self._weights["dec_w_hh"], self._weights["dec_b_hh"]

    @cached_property
    def _weights(self) -> dict[str, np.ndarray]:
        path = self._path or checkpoint_path()
        try:
            with np.load(path, allow_pickle=False) as archive:
                weights = {name: archive[name].astype(np.float32) for name in _SHAPES}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise TextError(f"{path}: cannot read the network ({error}); install g2p_en==2.1.0 again") from error
        for name, shape in _SHAPES.items():
            if weights[name].shape != shape:
                raise TextError(f"{path}: {name} has shape {weights[name].shape}, not {shape}; install g2p_en==2.1.0")
        # Inputs of the gates per letter and phone, precomputed as tables.
        weights["encoder_inputs"] = weights["enc_emb"] @ weights["enc_w_ih"].T + weights["enc_b_ih"]
        weights["decoder_inputs"] = weights["dec_emb"] @ weights["dec_w_ih"].T + weights["dec_b_ih"]
        for name in ("enc_w_hh", "dec_w_hh", "fc_w"):
            weights[name] = np.ascontiguousarray(weights[name].T)
        return weights

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path}


def _gru_step(inputs: np.ndarray, hidden: np.ndarray, w_hh: np.ndarray, b_hh: np.ndarray) -> np.ndarray:
    """Compute one step of a GRU (arXiv:1406.1078) in the gate order of cuDNN: reset, update, new."""
    recurrent = hidden @ w_hh + b_hh
    gates = 1 / (1 + np.exp(-(inputs[: 2 * _HIDDEN] + recurrent[: 2 * _HIDDEN])))
    reset, update = gates[:_HIDDEN], gates[_HIDDEN:]
    candidate = np.tanh(inputs[2 * _HIDDEN :] + reset * recurrent[2 * _HIDDEN :])
    blended: np.ndarray = (1 - update) * candidate + update * hidden
    return blended
