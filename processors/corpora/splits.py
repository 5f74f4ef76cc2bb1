"""Splits of corpora into training, validation and test sets."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from config.schema import PreprocessSettings
from processors.utterance import Utterance

# Largest share of validation and test together, in corpora too small for the requested sizes.
_MAX_EVALUATION_SHARE = 0.5


def with_splits(utterances: Sequence[Utterance], settings: PreprocessSettings) -> list[Utterance]:
    """Assign splits to utterances without an official one.

    Utterances with text are split as if there were no others, which train; a corpus without texts is split by itself.
    Official validation and test sets are kept, and nothing is drawn for them unless none of their speakers is in the
    training set (as in LibriTTS): speaker-dependent models are then evaluated on what is drawn in addition.
    """
    own = {utterance.id: utterance.split for utterance in utterances if utterance.split in ("valid", "test")}
    free = [utterance for utterance in utterances if utterance.id not in own]
    trained = {utterance.speaker for utterance in free}
    official = {own[utterance.id] for utterance in utterances if utterance.id in own and utterance.speaker in trained}
    assigned = assign_splits(
        [utterance for utterance in free if utterance.text] or free,
        valid_size=0 if "valid" in official else settings.valid_size,
        test_size=0 if "test" in official else settings.test_size,
        seed=settings.split_seed,
    )
    split_of = {utterance.id: utterance.split for utterance in assigned} | own
    return [replace(utterance, split=split_of.get(utterance.id, "train")) for utterance in utterances]


def assign_splits(
    utterances: Iterable[Utterance], *, valid_size: float, test_size: float, seed: int
) -> list[Utterance]:
    """Assign each utterance of one dataset to a split: `train`, `valid` or `test`.

    Utterances are sorted by a hash of seed and id; the first are the test set, the next the validation set, the others
    the training set. The split is independent of the given order, other utterances matter only at the borders, and so
    every recipe with the corpus has the same split. Texts recorded twice (ignoring case and punctuation) stay
    in one set, which may exceed its size by the last text's recordings.

    A corpus of three texts or more gets at least one in each requested set; validation and test together are at most
    half of it; training is never empty.

    Args:
        utterances: of one dataset.
        valid_size: number of utterances, or share of them if below 1.
        test_size: likewise.
        seed: of the split.

    Returns:
        The utterances in the order given, with `split` set.
    """
    utterances = list(utterances)
    test_count, valid_count = _counts(len(utterances), valid_size=valid_size, test_size=test_size)
    texts = _same_texts(utterances, seed, largest=max(test_count, valid_count, 1))
    split_of: dict[int, str] = {}
    place = 0
    # One text is reserved for training, and one for validation while test is filled.
    for split, count, reserved in (("test", test_count, 1 + (valid_count > 0)), ("valid", valid_count, 1)):
        taken = 0
        while taken < count and place < len(texts) - reserved:
            for index in texts[place]:
                split_of[index] = split
            taken += len(texts[place])
            place += 1
    return [replace(utterance, split=split_of.get(index, "train")) for index, utterance in enumerate(utterances)]


def _counts(total: int, *, valid_size: float, test_size: float) -> tuple[int, int]:
    """Return the target numbers of test and validation utterances."""
    wanted = []
    for size in (test_size, valid_size):
        assert size >= 0, f"not a size: {size}"
        wanted.append(int(size) if size >= 1 else max(round(size * total), 1 if size else 0))
    shrink = min(1.0, _MAX_EVALUATION_SHARE * total / max(sum(wanted), 1))
    test_count, valid_count = (max(int(count * shrink), 1) if count else 0 for count in wanted)
    return test_count, valid_count


def _same_texts(utterances: Sequence[Utterance], seed: int, largest: int) -> list[list[int]]:
    """Return the indices of utterances, grouped by equal texts, in the order in which sets are filled."""
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    hashes = [_hash(seed, utterance.id) for utterance in utterances]
    for index, utterance in enumerate(utterances):
        words = _bare_words(utterance.text)
        places["text", words].append(index) if words else places["id", utterance.id].append(index)
    # Texts with more recordings than a set (some corpora repeat one) come last, for training.
    return sorted(places.values(), key=lambda same: (len(same) > largest, min(hashes[index] for index in same)))


def _hash(seed: int, utterance_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{utterance_id}".encode("utf-8", "surrogatepass")).digest()


def _bare_words(text: str) -> str:
    letters = (
        character if character.isalnum() or unicodedata.category(character).startswith("M") else " "
        for character in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join("".join(letters).split())
