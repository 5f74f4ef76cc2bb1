"""Phones of IPA, code point by code point, as the symbols of a voice."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.export.voice_graph import selected
from processors.text.ipa import LETTERS, STRESSES, nearest_phones
from processors.text.symbols import LATER, PADDING
from processors.text.tokens import PAUSES, SPOKEN_NOISE

_DOUBLINGS = 16


def spellings(symbols: Sequence[str]) -> dict[str, str]:
    """Return the symbols of a voice with espeak-ng's phones by how they may be written.

    Other phones of IPA have the nearest symbol (`nearest_phones`), with stress, without, and letter by letter.
    """
    phones = [symbol for symbol in symbols if symbol not in (*PAUSES, SPOKEN_NOISE, PADDING, LATER)]
    bare = {phone.lstrip(STRESSES) for phone in phones}.union(LETTERS)
    found: dict[str, str] = {}
    for written in (stress + each for each in sorted(bare) for stress in ("", *STRESSES)):
        for symbol in nearest_phones(written, phones)[:1]:
            found |= {unicodedata.normalize(form, written): symbol for form in ("NFC", "NFD")}
    return found


class IpaSymbols(nn.Module):
    """Groups code points to symbols, from the left and always as many as a symbol has; others are left out.

        t ʃ  ˈ ɜ ː  t ʃ
        tʃ   ˈɜː    tʃ

    Args:
        symbols: numbers of symbols by how they are written.
    """

    written: Tensor
    lengths: Tensor
    symbols: Tensor

    def __init__(self, symbols: Mapping[str, int]) -> None:
        super().__init__()
        self.longest = max(map(len, symbols))
        rows = [[*map(ord, each), *[0] * (self.longest - len(each))] for each in symbols]
        self.register_buffer("written", torch.tensor(rows))  # (N, longest)
        self.register_buffer("lengths", torch.tensor([len(each) for each in symbols]))
        self.register_buffer("symbols", torch.tensor(list(symbols.values())))

    def forward(self, code_points: Tensor) -> Tensor:
        """Return the symbols of (T,) code points."""
        places = torch.arange(code_points.shape[0], device=code_points.device)
        windows = F.pad(code_points, (0, self.longest - 1))[places[:, None] + torch.arange(self.longest)]
        fits = ((windows[:, None] == self.written) | (self.written == 0)).all(dim=2)  # (T, N)
        lengths, rows = (fits * self.lengths).max(dim=1)
        # What is reached from the first one; one step, then two, four and so on. The last place stands for the end.
        following = torch.cat([torch.minimum(places + lengths.clamp(min=1), places[-1:] + 1), places[-1:] + 1])
        is_reached = torch.cat([(places == 0).long(), torch.zeros_like(places[:1])])
        for _ in range(_DOUBLINGS):
            is_reached = is_reached.scatter_add(0, following, is_reached).clamp(max=1)
            following = following[following]
        return selected(self.symbols[rows], (is_reached[:-1] > 0) & (lengths > 0))
