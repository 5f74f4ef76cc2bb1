"""Embedding rows: carried over by name in fine-tuning, checked by name in resuming."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

import bins.train
import models.bundles.warm_start
from models.bundle import BundleError
from models.bundles.embedding_rows import transfer_rows
from models.bundles.locate import open_bundle
from models.bundles.warm_start import find_initial_state
from models.contracts import EmbeddingRows, HasEmbeddingRows
from models.registry import make_task
from processors.text.arpabet import INVENTORY
from tests.support.tiny_features import write_features
from tests.support.tiny_models import TinyModel
from utils.checkpoint import open_checkpoint
from utils.optimizer_state import OptimizerState

# ZH is missing, XX is new, and what is kept stands elsewhere.
OTHER_INVENTORY = ("XX", *(symbol for symbol in reversed(INVENTORY) if symbol != "ZH"))
SYMBOLS, SPEAKERS = "network.phoneme_embedding.weight", "network.speaker_embedding.weight"
pytestmark = pytest.mark.usefixtures("blank_pictures")


def generator():
    return torch.Generator().manual_seed(0)


def test_rows_are_carried_over_by_name():
    table = torch.randn(4, 8, generator=generator()).half()
    rows, transfer = transfer_rows(
        table, ["<pad>", "a", "b", "c"], EmbeddingRows("symbol", ["<pad>", "c", "new", "a"]), generator()
    )
    assert torch.equal(rows[[0, 1, 3]], table[[0, 3, 1]].float())
    assert (transfer.kept, transfer.added, transfer.dropped) == (["<pad>", "c", "a"], ["new"], ["b"])
    assert transfer.describe() == (
        "symbols: 3 kept; 1 added (new), which begin at random, spread as those learned are; 1 dropped (b)"
    )


def test_new_symbols_are_drawn_with_the_spread_of_trained_ones():
    table = torch.randn(60, 4, generator=generator()) * torch.tensor([0.1, 1.0, 2.0, 3.0]) + 5.0
    theirs = [f"old{row}" for row in range(60)]
    rows, _ = transfer_rows(table, theirs, EmbeddingRows("symbol", [f"new{row}" for row in range(2000)]), generator())
    torch.testing.assert_close(rows.mean(dim=0), table.mean(dim=0), atol=0.2, rtol=0.0)
    torch.testing.assert_close(rows.std(dim=0), table.std(dim=0), atol=0.0, rtol=0.1)


@pytest.mark.parametrize("n_learned", [1, 5])
def test_new_speakers_start_near_the_mean_of_trained_ones(n_learned):
    table = torch.randn(n_learned, 64, generator=generator())
    theirs = [f"old{row}" for row in range(n_learned)]
    rows, _ = transfer_rows(table, theirs, EmbeddingRows("speaker", ["new", "other"]), generator())
    distance = (rows - table.mean(dim=0)).norm(dim=1) / table.norm(dim=1).mean()
    assert (distance > 0.02).all() and (distance < 0.2).all() and not torch.equal(rows[0], rows[1])


def test_a_table_of_the_same_names_in_the_same_order_is_unchanged():
    table = torch.randn(2, 4)
    rows, transfer = transfer_rows(table, ["a", "b"], EmbeddingRows("speaker", ["a", "b"]), generator())
    assert torch.equal(rows, table) and transfer.is_unchanged and transfer.describe() == "speakers: 2 kept"
    assert not transfer_rows(table, ["a", "b"], EmbeddingRows("speaker", ["b", "a"]), generator())[1].is_unchanged


@pytest.fixture
def tiny(tmp_path):
    return TinyModel("FastSpeech2", tmp_path)


def others(tiny):
    """Prepare a second corpus with other symbols and speakers, and make a task for it."""
    write_features(tiny.folder / "others", speakers=("c", "b", "d"), inventory=OTHER_INVENTORY)
    settings = tiny.settings(f"preprocess.processed_dir={tiny.folder / 'others'}")
    return settings, make_task(settings)


@pytest.fixture
def train(tiny, command):
    """Return a function that trains the tiny FastSpeech 2, and returns exit code and output."""

    def call(name, processed_dir, *overrides, more=()):
        few = ("train.batch_size=3", "train.precision=fp32", f"preprocess.processed_dir={processed_dir}")
        return command(bins.train, *tiny.flags(*few, *overrides), "--name", name, *more)

    return call


def test_vocoders_have_no_embedding_rows(tmp_path, tiny):
    assert isinstance(tiny.task(), HasEmbeddingRows)
    (tmp_path / "vocoder").mkdir()
    assert not isinstance(TinyModel("HiFiGAN", tmp_path / "vocoder").task(), HasEmbeddingRows)


@pytest.mark.slow
def test_finetuning_keeps_adds_and_drops_symbols_and_speakers_by_name(tiny, train):
    code, _, errors = train("first", tiny.processed_dir, "train.max_steps=2")
    assert code == 0, errors
    step = tiny.folder / "first" / "checkpoint" / "step-00000002"
    for place in (step, step.parent, tiny.folder / "first" / "checkpoints", *step.glob("*.safetensors")):
        assert find_initial_state(place, tiny.settings(), tiny.task()).path == step
    others(tiny)
    still = ("train.max_steps=1", "train.learning_rate=1e-9")
    for number, place in enumerate(("first", "first/bundle", "first/checkpoint/step-00000002")):
        finetune = ("--resume_type", "finetune", "--checkpoint", tiny.folder / place)
        code, printed, errors = train(f"second{number}", tiny.folder / "others", *still, more=finetune)
        assert code == 0, errors
        assert (
            "symbols: 76 kept; 1 added (XX), which begin at random, spread as those learned are; 1 dropped (ZH)"
            in printed
        )
        assert "speakers: 1 kept; 2 added (c, d), which begin near the mean of those learned; 1 dropped (a)" in printed
        old, new = (open_bundle(tiny.folder / name / "bundle") for name in ("first", f"second{number}"))
        assert list(new.speakers) == ["c", "b", "d"]
        for key, our_names, their_names in (
            ("phoneme_embedding.weight", new.symbols.symbols, old.symbols.symbols),
            ("speaker_embedding.weight", list(new.speakers), list(old.speakers)),
        ):
            assert len(new.weights[key]) == len(our_names)
            for row, name in enumerate(our_names):
                if name in their_names:
                    was = old.weights[key][their_names.index(name)]
                    torch.testing.assert_close(new.weights[key][row], was, atol=1e-6, rtol=0.0)


@pytest.mark.slow
def test_a_single_speakers_model_is_finetuned_to_several_and_resumes_exactly(tiny, train):
    write_features(tiny.folder / "one", speakers=("a",))
    assert train("first", tiny.folder / "one", "train.max_steps=2")[0] == 0
    settings = ("train.ema_decay=0.9", "train.freeze=['encoder']", "train.lr_groups={'decoder': 0.1}")
    finetune = ("--resume_type", "finetune", "--checkpoint", tiny.folder / "first")
    code, printed, errors = train("straight", tiny.processed_dir, *settings, "train.max_steps=4", more=finetune)
    assert code == 0, errors
    assert "speakers: 1 kept; 1 added (b), which begin near the mean of those learned" in printed
    train("broken", tiny.processed_dir, *settings, "train.max_steps=2", more=finetune)
    code, printed, errors = train("broken", tiny.processed_dir, *settings, "train.max_steps=4", more=finetune)
    assert code == 0 and "resuming from" in printed, errors
    straight, broken = (
        open_checkpoint(tiny.folder / name / "checkpoint" / "step-00000004") for name in ("straight", "broken")
    )
    for name in ("network", "network_average"):
        wanted, found = straight.weights(name), broken.weights(name)
        assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    assert broken.weights("network")["speaker_embedding.weight"].shape[0] == 2


def test_optimizer_state_of_a_changed_table_is_dropped(tiny, monkeypatch):
    voice = tiny.task()
    voice.bundle(tiny.folder / "bundle")
    settings, task = others(tiny)
    of_bundle = models.bundles.warm_start._of_bundle
    moments = {name: {"step": torch.tensor(3.0)} for name in (SYMBOLS, "network.to_mel.weight")}

    def with_moments(*arguments):
        state = {"network": OptimizerState(moments, {})}
        return dataclasses.replace(of_bundle(*arguments), optimizers=state)

    monkeypatch.setattr(models.bundles.warm_start, "_of_bundle", with_moments)
    initial = find_initial_state(tiny.folder / "bundle", settings, task)
    assert initial.optimizers["network"].moments.keys() == {"network.to_mel.weight"}
    initial = find_initial_state(tiny.folder / "bundle", tiny.settings(), voice)
    assert initial.optimizers["network"].moments.keys() == moments.keys()


def test_new_rows_of_a_frozen_table_are_warned_of(tiny):
    tiny.task().bundle(tiny.folder / "bundle")
    settings, task = others(tiny)
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"freeze": ("phoneme_*",)})})
    remarks = find_initial_state(tiny.folder / "bundle", settings, task).remarks
    assert [f"{SYMBOLS} is frozen: its new symbols stay as they begin, and are not learned"] == [
        remark for remark in remarks if "is frozen" in remark
    ]


@pytest.mark.slow
def test_rows_without_names_are_refused_if_their_number_differs(tiny, train):
    assert train("first", tiny.processed_dir, "train.max_steps=1")[0] == 0
    settings, task = others(tiny)
    bundle = tiny.folder / "first" / "bundle"
    bundle.rename(tiny.folder / "elsewhere")
    with pytest.raises(BundleError, match="has 2 rows of speakers, and their names are unknown; start with the"):
        find_initial_state(tiny.folder / "first", settings, task)
    initial = find_initial_state(tiny.folder / "first", tiny.settings(), tiny.task())
    assert any(f"the names of the rows of {SPEAKERS} are unknown" in remark for remark in initial.remarks)
    speakers = tiny.folder / "elsewhere" / "speakers.json"
    speakers.write_text(json.dumps({"a": 0}))
    with pytest.raises(BundleError, match="has 2 rows of speakers, and its bundle names 1"):
        find_initial_state(tiny.folder / "elsewhere", settings, task)


# Going on


def train_twice(tiny, train, change, *, resumed=()):
    """Train one step, change `processed_dir`, and train another; return the result of the second call."""
    assert train("first", tiny.processed_dir, "train.max_steps=1")[0] == 0
    processed_dir = change() or tiny.processed_dir
    return train("first", processed_dir, "train.max_steps=2", more=resumed)


def renamed(tiny, old, new):
    """Rename a speaker, as stage 1 would after the folder was renamed: rows follow the sorted names."""
    names = sorted({"a": "a", "b": "b", old: new}.values())
    (tiny.processed_dir / "speakers.json").write_text(json.dumps({name: row for row, name in enumerate(names)}))
    statistics = json.loads((tiny.processed_dir / "statistics.json").read_text().replace(f'"{old}"', f'"{new}"'))
    (tiny.processed_dir / "statistics.json").write_text(json.dumps(statistics))
    for manifest in (tiny.processed_dir / "tiny").glob("*.jsonl"):
        manifest.write_text(manifest.read_text().replace(f'"speaker": "{old}"', f'"speaker": "{new}"'))


@pytest.mark.slow
@pytest.mark.parametrize("resumed", [(), ("--resume_type", "resume")])
def test_a_renamed_speaker_does_not_get_anothers_row(tiny, train, resumed):
    code, _, errors = train_twice(tiny, train, lambda: renamed(tiny, "a", "z"), resumed=resumed)
    assert code == 1 and "Traceback" not in errors
    assert f"{tiny.folder / 'first'}: has learned other names than {tiny.processed_dir} holds now: " in errors
    assert "speakers: a gone, z new. Bring back" in errors
    finetune = ("--resume_type", "finetune", "--checkpoint", tiny.folder / "first")
    assert f"{' '.join(map(str, finetune))}, which carries over by name" in errors
    old = open_bundle(tiny.folder / "first" / "bundle")
    still = ("train.max_steps=1", "train.learning_rate=1e-9")
    assert train("second", tiny.processed_dir, *still, more=finetune)[0] == 0
    new = open_bundle(tiny.folder / "second" / "bundle")
    was, now = (each.weights["speaker_embedding.weight"][each.speakers["b"]] for each in (old, new))
    assert old.speakers["b"] != new.speakers["b"]
    torch.testing.assert_close(was, now, atol=1e-6, rtol=0.0)


@pytest.mark.slow
def test_letters_that_changed_their_numbers_are_refused(tiny, train):
    def make_features_anew():
        shutil.rmtree(tiny.processed_dir)
        write_features(tiny.processed_dir, inventory=tuple(reversed(INVENTORY)))

    code, _, errors = train_twice(tiny, train, make_features_anew)
    assert code == 1 and "symbols: the same in another order." in errors


@pytest.mark.slow
def test_other_features_of_equal_size_are_refused(tiny, train):
    def elsewhere():
        write_features(tiny.folder / "others", speakers=("a", "c"), inventory=(*INVENTORY[:-1], "XX"))
        return tiny.folder / "others"

    code, _, errors = train_twice(tiny, train, elsewhere)
    assert code == 1 and f"symbols: {INVENTORY[-1]} gone, XX new; speakers: b gone, c new." in errors


@pytest.mark.slow
def test_the_same_names_in_another_folder_resume(tiny, train):
    def elsewhere():
        write_features(tiny.folder / "others")
        return tiny.folder / "others"

    code, printed, errors = train_twice(tiny, train, elsewhere)
    assert code == 0 and "resuming from" in printed, errors


@pytest.mark.slow
def test_names_of_an_older_experiment_are_read_from_its_bundle(tiny, train):
    def forget_names():
        (tiny.folder / "first" / "origin.json").unlink()

    code, _, errors = train_twice(tiny, train, forget_names)
    assert code == 0 and "records none" not in errors, errors
    forget_names()
    renamed(tiny, "b", "c")
    code, _, errors = train("first", tiny.processed_dir, "train.max_steps=3")
    assert code == 1 and "speakers: b gone, c new." in errors


@pytest.mark.slow
def test_an_experiment_without_names_resumes_with_a_warning(tiny, train):
    def forget_names():
        (tiny.folder / "first" / "origin.json").unlink()
        (tiny.folder / "first" / "bundle").rename(tiny.folder / "elsewhere")

    code, _, errors = train_twice(tiny, train, forget_names)
    assert code == 0 and "records none of its symbols and speakers; assuming those of" in errors
