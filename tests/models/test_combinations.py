"""Every acoustic model through every vocoder, with every front end, aligner and speaker setting: pairwise combinations.

What can be combined is read from the registry and from the settings' schema, so that a new model or choice takes part
without a line here. Settings refuse what is impossible when they are loaded; of the rest, enough combinations for every
possible pair go through stage 1, a training step, a bundle and speech.
"""

from __future__ import annotations

import json
import re
from itertools import combinations, product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from config.load import SettingsError, check_settings, load_settings
from config.schema import PreprocessSettings
from models.benchmarks.made_up import untrained_bundle
from models.bundles.locate import find_bundle
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import open_vocoder
from models.layers.acoustic_settings import AcousticModelSettings
from models.registry import MODELS, features_for, make_task, settings_class
from models.runs import corpus_aligner
from processors.alignment.intervals import Alignment, Interval
from processors.alignment.textgrid import write_textgrid
from processors.features import needs_alignment
from processors.preparation import mfa, report, utterance_preparer
from processors.preparation import prepare as prepare_module
from processors.preparation.prepare import prepare
from processors.text.front_end import FrontEnds
from processors.text.phone_sequence import PhoneSequence
from processors.text.tokens import Word
from processors.utterance import SPLITS, read_manifest
from tests.support.small_corpus import EDGE_S, PHONE_S, RATE, WORDS, make_corpus, texts, write_config
from tests.support.tiny_models import SMALL
from utils.process_pool import ThisProcess

N_CLIPS = 6
HOP_SIZE, N_MEL = 64, 12
MEL = {"sample_rate": RATE, "n_fft": 256, "win_size": 256, "hop_size": HOP_SIZE, "n_mel": N_MEL}
# Pairs in no combination, for a reason that the settings' schema states.
IMPOSSIBLE = {
    frozenset(pair)
    for pair in (
        ("phone_extractor=espeak", "alignment=pocketsphinx"),
        ("phone_extractor=char", "alignment=pocketsphinx"),
        ("phone_extractor=mixed", "alignment=pocketsphinx"),
        ("phone_extractor=char", "alignment=mfa"),
        ("phone_extractor=mixed", "alignment=mfa"),
        ("speaker_conditioning=encoder", "speaker_encoder=none"),
    )
}

Combination = tuple[str, ...]
"""A choice for each factor, as `name=value`."""


def choices(schema, name: str) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for value in get_args(schema.model_fields[name].annotation))


def acoustic_models() -> list[str]:
    """Return every acoustic model, once for each source of durations that it has."""
    found = []
    for name, model in sorted(MODELS.items()):
        if model.kind == "acoustic":
            fields = settings_class(name).model_fields["model"].annotation.model_fields
            sources = get_args(fields["durations"].annotation) if "durations" in fields else ("",)
            found += [f"{name} {source}".strip() for source in sources]
    return found


FACTORS = {
    "acoustic": [f"acoustic={name}" for name in acoustic_models()],
    "phone_extractor": choices(PreprocessSettings, "phone_extractor"),
    "alignment": choices(PreprocessSettings, "alignment"),
    "speaker_conditioning": choices(AcousticModelSettings, "speaker_conditioning"),
    # The others need a package or a file.
    "speaker_encoder": ("speaker_encoder=none", "speaker_encoder=statistics"),
}
VOCODERS = [f"vocoder={name}" for name, model in sorted(MODELS.items()) if model.kind == "vocoder"]


def values_of(combination: Combination) -> dict[str, str]:
    return dict(choice.split("=", 1) for choice in combination)


class Experiments:
    """Settings of combinations over one small corpus, and the features made with them."""

    def __init__(self, folder) -> None:
        self.folder, self.corpus = folder, folder / "corpus"
        make_corpus(self.corpus, N_CLIPS)
        aligner = {"base_config": "config/aligner.json", "train": {"max_steps": 2, "batch_size": 2, "num_workers": 0}}
        aligner["model"] = {"hidden_size": 16, "space_size": 8}
        (folder / "aligner.json").write_text(json.dumps(aligner))
        self._trees = {}
        self._made = set()
        for name, model in MODELS.items():
            if model.kind == "acoustic":
                config = write_config(
                    folder,
                    self.corpus,
                    **MEL,
                    fmax=RATE // 2,
                    f0_max=400,
                    pitch_extractor="dio",
                    textgrid_dir="",
                    aligner_config=str(folder / "aligner.json"),
                    mfa_dictionary="english",
                    mfa_acoustic_model="english",
                    valid_size=1,
                    test_size=1,
                    num_workers=1,
                )
                config.write_text(json.dumps(json.loads(config.read_text()) | {"base_config": model.config}))
                flags = (*SMALL[name], "train.num_workers=0", "train.batch_size=4", "train.precision=fp32")
                self._trees[name] = load_settings(config, flags, settings_class).settings.model_dump(mode="json")

    def settings(self, combination: Combination):
        """Return the checked settings of a combination; raise a `SettingsError` where they contradict each other."""
        values = values_of(combination)
        name, _, durations = values["acoustic"].partition(" ")
        tree = json.loads(json.dumps(self._trees[name]))
        tree["model"]["speaker_conditioning"] = values["speaker_conditioning"]
        if durations:
            tree["model"]["durations"] = durations
        preprocess = tree["preprocess"]
        preprocess |= {each: values[each] for each in ("phone_extractor", "alignment", "speaker_encoder")}
        if preprocess["alignment"] == "textgrid":
            preprocess["textgrid_dir"] = str(self.folder / f"TextGrid-{preprocess['phone_extractor']}")
        aligned = "" if durations == "learned" else preprocess["alignment"]
        parts = (preprocess["phone_extractor"], aligned, preprocess["speaker_encoder"], name)
        preprocess["processed_dir"] = str(self.folder / "-".join(parts))
        return check_settings(tree, settings_class(name), {}, fallback_source="test")

    def prepare(self, settings) -> None:
        """Run stage 1, unless another combination has made the same features."""
        if settings.preprocess.processed_dir in self._made:
            return
        self._made.add(settings.preprocess.processed_dir)
        if settings.preprocess.alignment == "textgrid":
            write_textgrids(settings, settings.preprocess.textgrid_path("toy"))
        features = features_for(settings)
        if needs_alignment(features):
            assert corpus_aligner.align_whole_corpora(settings, num_workers=1) == 0
        assert prepare(settings, features=features).usable == N_CLIPS


def evenly_aligned(tokens) -> Alignment:
    """Return an alignment of a text in which every phone lasts as long as every other."""
    words, phones, at = [Interval(0.0, EDGE_S, "")], [Interval(0.0, EDGE_S, "")], EDGE_S
    spoken = [token for token in tokens if isinstance(token, Word)]
    phone_s = 2 * PHONE_S * len(spoken) / sum(len(word.pronunciations[0]) for word in spoken)
    for word in spoken:
        start = at
        for phone in word.pronunciations[0]:
            phones.append(Interval(at, at + phone_s, phone))
            at += phone_s
        words.append(Interval(start, at, word.text))
    end = Interval(at, at + EDGE_S, "")
    return Alignment((*words, end), (*phones, end))


def write_textgrids(settings, folder) -> None:
    front_end = FrontEnds(settings.preprocess)["en"]
    for name, text in texts(N_CLIPS).items():
        write_textgrid(folder / f"{name}.TextGrid", evenly_aligned(front_end.tokens(text)))


class EvenAligner:
    """In place of pocketsphinx, which finds no words in tones."""

    def align(self, utterance_id, waveform, sample_rate, tokens) -> Alignment:
        return evenly_aligned(tokens)


def run_mfa(command, log) -> None:
    """Write what `mfa align` would."""
    *_, corpus, _, _, aligned = command
    for lab in Path(corpus).rglob("*.lab"):
        tokens = [Word(word, (WORDS[word],)) for word in lab.read_text().split()]
        write_textgrid(Path(aligned) / lab.parent.name / f"{lab.stem}.TextGrid", evenly_aligned(tokens))


def pairs(combination: Combination) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in combinations(combination, 2)}


def covering(possible: list[Combination]) -> list[Combination]:
    """Return combinations that together have every pair of any, the one with the most new pairs first."""
    missing = set().union(*map(pairs, possible))
    chosen = []
    while missing:
        chosen.append(max(possible, key=lambda combination: len(pairs(combination) & missing)))
        missing -= pairs(chosen[-1])
    return chosen


@pytest.fixture
def stand_ins(monkeypatch):
    """Replace what would take most of the time or is not installed: pictures, processes, pocketsphinx and MFA."""
    monkeypatch.setattr(report, "_shown", lambda *_: ())
    monkeypatch.setattr(prepare_module, "_processes", lambda *_: ThisProcess())
    monkeypatch.setattr(utterance_preparer, "make_pocketsphinx_aligner", lambda language: EvenAligner())
    monkeypatch.setattr(mfa.shutil, "which", lambda program: program)
    monkeypatch.setattr(mfa, "_run", run_mfa)


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_every_pair_speaks_or_is_refused_at_load(tmp_path):
    experiments, every = Experiments(tmp_path), list(product(*FACTORS.values()))
    possible, refusals = [], {}
    for combination in every:
        try:
            experiments.settings(combination)
        except SettingsError as error:
            refusals[combination] = str(error)
        else:
            possible.append(combination)
    assert set().union(*map(pairs, every)) - set().union(*map(pairs, possible)) == IMPOSSIBLE
    # Each names one of the settings that contradict each other.
    assert all(re.search(r"preprocess\.|model\.", sentence) for sentence in refusals.values())
    failures = []
    for combination in covering([(*each, vocoder) for each in possible for vocoder in VOCODERS]):
        try:
            speak(experiments, combination)
        except Exception as error:
            failures.append(f"{', '.join(combination)}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


def speak(experiments: Experiments, combination: Combination) -> None:
    settings = experiments.settings(combination)
    experiments.prepare(settings)
    torch.manual_seed(0)
    task = make_task(settings)
    [batch, *_] = next(task.train_batches().groups(0))
    for update in task.updates(batch, 0):
        sum(term.weight * term.value for term in update.terms.values()).backward()
    folder = experiments.folder / "bundle"
    task.bundle(folder)
    vocoder = vocoder_for(experiments.folder, values_of(combination)["vocoder"], settings)
    speech = Synthesizer(find_bundle(folder), vocoder)("My new tea.")
    assert speech.mel.shape == (N_MEL, speech.durations.sum()) and speech.mel.shape[1] > 0
    assert len(speech.waveform) == speech.mel.shape[1] * HOP_SIZE and np.isfinite(speech.waveform).all()


def vocoder_for(folder, name: str, settings):
    """Return a vocoder with random weights for the mels of an acoustic model."""
    place = folder / name
    if not place.exists():
        config = folder / f"{name}.json"
        tree = {"base_config": MODELS[name].config, "dataset": ["toy"], "dataset_path": {"toy": "none"}}
        config.write_text(json.dumps(tree | {"preprocess": MEL | {"fmax": RATE // 2, "f0_max": 400}}))
        untrained_bundle(load_settings(config, SMALL[name], settings_class).settings).save(place)
    return open_vocoder(place, expect=settings.preprocess)


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_stored_durations_are_of_the_symbols_that_are_spoken_later(tmp_path):
    experiments = Experiments(tmp_path)
    for front_end in choices(PreprocessSettings, "phone_extractor"):
        values = (front_end, "alignment=textgrid", "speaker_conditioning=table", "speaker_encoder=none")
        settings = experiments.settings(("acoustic=FastSpeech2", *values))
        experiments.prepare(settings)
        reader = FrontEnds(settings.preprocess)["en"]
        for split in SPLITS:
            for utterance in read_manifest(settings.preprocess.processed_path / "toy" / f"{split}.jsonl"):
                expected = PhoneSequence.from_tokens(reader.tokens(utterance.text), reader.start)
                assert utterance.phones == expected.phones and sum(utterance.durations) == utterance.frames
