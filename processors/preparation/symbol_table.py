"""Symbol table of an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path

from config.schema import PreprocessSettings
from processors.feature_store import settings_of
from processors.features import stamp_of_symbols
from processors.text.errors import TextError
from processors.text.front_end import FrontEnds
from processors.text.phone_sequence import PhoneSequence
from processors.text.symbols import LATER, SYMBOLS_FILE, SymbolTable
from processors.utterance import Utterance
from utils.console import Progress, info


def symbol_table(
    front_ends: FrontEnds,
    utterances: Iterable[Utterance],
    settings: PreprocessSettings,
    *,
    forget: Iterable[Path] = (),
) -> SymbolTable:
    """Return the symbol table of an experiment.

    A front end with a closed inventory always has the same table. For others, the symbols of all texts are collected:
    pauses first, then the rest sorted by code point. A table that features in `processed_dir` were made with is kept
    and new symbols are appended after `LATER`, so that no number changes its meaning.

    Args:
        front_ends: with at least one language loaded.
        utterances: of all corpora. Texts that cannot be pronounced are skipped; extraction rejects them.
        settings: of the front end and `processed_dir`.
        forget: stores whose features are about to be replaced.
    """
    first = next(iter(front_ends.values()))
    if not first.is_open:
        return SymbolTable(first.inventory)
    found = _symbols_of(utterances, front_ends)
    processed_dir = settings.processed_path
    path = processed_dir / SYMBOLS_FILE
    table = SymbolTable([*first.inventory, *sorted(found - set(first.inventory))])
    if path.is_file() and _is_in_use(kept := SymbolTable.open(path), processed_dir, settings, set(forget)):
        new = sorted(found - set(kept.symbols))
        mark = [LATER] if new and LATER not in kept else []
        table = SymbolTable([*kept.symbols[1:], *mark, *new])
        if new:
            info(f"new symbols after the {len(kept)} of {path}: {' '.join(new)}")
    return table


def _symbols_of(utterances: Iterable[Utterance], front_ends: FrontEnds) -> set[str]:
    found: set[str] = set()
    utterances = list(utterances)
    with Progress(len(utterances), "symbols of the texts", "texts") as progress:
        for utterance in utterances:
            with suppress(TextError):
                found.update(PhoneSequence.from_tokens(front_ends[utterance.language].tokens(utterance.text)).phones)
            progress.advance()
    return found


def _is_in_use(table: SymbolTable, processed_dir: Path, settings: PreprocessSettings, forget: Set[Path]) -> bool:
    """Return whether the phonemes of some store are numbered by this table, or by its state before it grew."""
    stores = (path.parent for path in processed_dir.glob("*/store_settings.json") if path.parent not in forget)
    expected = (settings.phone_extractor, stamp_of_symbols(table.symbols))
    return any(
        (stored.get("phone_extractor"), stored.get("symbols")) == expected for stored in map(settings_of, stores)
    )
