"""Splits of corpora into training, validation and test sets."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from config.schema import PreprocessSettings
from processors.utterance import Utterance

# What validation and test may take together of a corpus too small for the sizes asked for.
_LARGEST_EVALUATION_SHARE = 0.5


def with_splits(utterances: Sequence[Utterance], settings: PreprocessSettings) -> list[Utterance]:
    """Split what the corpus itself has not split.

    Those with a text are split as if there were no others, which train; a corpus without texts is split by itself.
    A set that the corpus brings stays as it is, and nothing is drawn for it, unless none of its speakers is heard in
    training (as in LibriTTS): models that know speakers by name are then judged by what is drawn besides.
    """
    own = {utterance.id: utterance.split for utterance in utterances if utterance.split in ("valid", "test")}
    free = [utterance for utterance in utterances if utterance.id not in own]
    trained = {utterance.speaker for utterance in free}
    brought = {own[utterance.id] for utterance in utterances if utterance.id in own and utterance.speaker in trained}
    assigned = assign_splits(
        [utterance for utterance in free if utterance.text] or free,
        valid_size=0 if "valid" in brought else settings.valid_size,
        test_size=0 if "test" in brought else settings.test_size,
        seed=settings.split_seed,
    )
    split_of = {utterance.id: utterance.split for utterance in assigned} | own
    return [replace(utterance, split=split_of.get(utterance.id, "train")) for utterance in utterances]


def assign_splits(
    utterances: Iterable[Utterance], *, valid_size: float, test_size: float, seed: int
) -> list[Utterance]:
    """Give each utterance of one dataset its split: `train`, `valid` or `test`.

    Utterances stand in a line by a hash of seed and id; the first are the test set, the next the validation set,
    the others train. The order in which they come plays no part, other utterances matter only at the borders, and so
    every recipe that uses the corpus gets the same split. Texts recorded twice (but for case and punctuation)
    stay on one side, which may make a set larger than asked by the last text's recordings.

    A corpus of three texts or more gets at least one in each set asked for; validation and test together take at most
    half of it; training is never empty.

    Args:
        utterances: those of one dataset.
        valid_size: number of utterances, or share of them where below 1.
        test_size: likewise.
        seed: another seed gives another split.

    Returns:
        The utterances in the order given, with `split` set.
    """
    utterances = list(utterances)
    test_count, valid_count = _counts(len(utterances), valid_size=valid_size, test_size=test_size)
    texts = _same_texts(utterances, seed, largest=max(test_count, valid_count, 1))
    split_of: dict[int, str] = {}
    place = 0
    # One text stays for training, and one for validation while test chooses.
    for split, count, spared in (("test", test_count, 1 + (valid_count > 0)), ("valid", valid_count, 1)):
        taken = 0
        while taken < count and place < len(texts) - spared:
            for index in texts[place]:
                split_of[index] = split
            taken += len(texts[place])
            place += 1
    return [replace(utterance, split=split_of.get(index, "train")) for index, utterance in enumerate(utterances)]


def _counts(total: int, *, valid_size: float, test_size: float) -> tuple[int, int]:
    """Give the numbers of test and validation utterances to aim at."""
    wanted = []
    for size in (test_size, valid_size):
        assert size >= 0, f"no size: {size}"
        wanted.append(int(size) if size >= 1 else max(round(size * total), 1 if size else 0))
    shrink = min(1.0, _LARGEST_EVALUATION_SHARE * total / max(sum(wanted), 1))
    test_count, valid_count = (max(int(count * shrink), 1) if count else 0 for count in wanted)
    return test_count, valid_count


def _same_texts(utterances: Sequence[Utterance], seed: int, largest: int) -> list[list[int]]:
    """Give the places of utterances with equal texts, in the line from which the sets are taken."""
    places: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    hashes = [_hash(seed, utterance.id) for utterance in utterances]
    for index, utterance in enumerate(utterances):
        words = _bare_words(utterance.text)
        places["text", words].append(index) if words else places["id", utterance.id].append(index)
    # A text with more recordings than a set should have (some corpora repeat one) goes last, to training.
    return sorted(places.values(), key=lambda same: (len(same) > largest, min(hashes[index] for index in same)))


def _hash(seed: int, utterance_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{utterance_id}".encode("utf-8", "surrogatepass")).digest()


def _bare_words(text: str) -> str:
    letters = (
        character if character.isalnum() or unicodedata.category(character).startswith("M") else " "
        for character in unicodedata.normalize("NFKC", text).casefold()
    )
    return " ".join("".join(letters).split())
