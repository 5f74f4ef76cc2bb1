"""Alignment of whole corpora: by an aligner trained on them, or by MFA."""

from __future__ import annotations

import shutil
from pathlib import Path

from config.load import differing_settings, refined_settings
from config.paths import resolve_path
from config.schema import ExperimentSettings
from models.bundles.locate import find_bundle
from models.inference.align import AligningError, align_corpora
from models.registry import kind_of, open_network, settings_class
from models.runs.experiment_settings import CHANGEABLE
from models.runs.train import train
from processors.datasets.aligner_data import open_symbols
from processors.datasets.utterance_data import front_end_version_of
from processors.features import ALIGNER_FEATURES
from processors.preparation.mfa import align_by_mfa
from processors.preparation.prepare import prepare
from processors.preparation.textgrid_origin import aligner_of
from processors.text.front_end_version import FRONT_END_VERSION
from processors.text.symbols import LATER
from utils.checkpoint import CheckpointFolder
from utils.console import info, warn
from utils.errors import RecitalError
from utils.lock import sole_user
from utils.process_pool import Workers

_FOLDER = "aligner"
_NAME = "model"


def align_whole_corpora(
    settings: ExperimentSettings,
    *,
    num_workers: int = 0,
    overwrite: bool = False,
    is_shared: bool = False,
    device: str = "cpu",
    cluster: Workers | None = None,
) -> int:
    """Write the TextGrids of a recipe whose alignment is `learned` or `mfa`; nothing for other alignments.

    Args:
        settings: of the recipe.
        num_workers: processes of the preparation; 0 for what the settings say.
        overwrite: train another aligner, and align all recordings again.
        is_shared: whether other machines share this preparation; one aligns while the others wait.
        device: of the aligner.
        cluster: computes the features that an aligner is trained on, in place of processes of this machine.

    Returns:
        The exit code of a stopped training, else 0.
    """
    aligner = aligner_of(settings.preprocess)
    if aligner not in ("learned", "mfa"):
        return 0
    folder = settings.preprocess.processed_path / _FOLDER
    with sole_user(folder, waits=is_shared, message="alignment: waiting for another machine that trains the aligner"):
        if aligner == "mfa":
            align_by_mfa(settings, num_workers=num_workers)
            return 0
        return _align_by_training(settings, num_workers, overwrite, device, cluster)


def _align_by_training(
    settings: ExperimentSettings, num_workers: int, overwrite: bool, device: str, cluster: Workers | None
) -> int:
    """Prepare phones and mels, train an aligner on them, and write its TextGrids, resuming each."""
    own = aligner_settings(settings)
    experiment = own.log_path / _NAME
    info("alignment: preparing the aligner's training data")
    prepare(own, num_workers=num_workers, overwrite=overwrite, features=ALIGNER_FEATURES, cluster=cluster)
    goes_on = bool(CheckpointFolder(experiment / "checkpoint").folders()) and not overwrite
    if goes_on and (reason := why_to_train_again(experiment, own)):
        info(f"alignment: the aligner {reason}; it is trained again; existing TextGrids are kept")
        goes_on = False
    if not goes_on:
        _delete(experiment)
    if goes_on and is_trained(experiment, own):
        info("alignment: the aligner is trained already")
        if changed := [line for line in what_has_changed(experiment, own) if not line.startswith(CHANGEABLE)]:
            warn(
                "\n  ".join(
                    [f"{experiment} is kept; --overwrite trains another. Its settings -> ignored ones:", *changed]
                )
            )
    else:
        info("alignment: training the aligner")
        # Other settings of features were refused before.
        if code := train(own, _NAME, "resume" if goes_on else None):
            return code
    info("alignment: writing TextGrids")
    processed_dir = settings.preprocess.processed_path
    align_corpora(
        find_bundle(experiment),
        own.preprocess.processed_path,
        settings.dataset,
        {dataset: processed_dir / dataset / "TextGrid" for dataset in settings.dataset},
        device=device,
        overwrite=overwrite,
        compare_phones=front_end_version_of(processed_dir, settings.dataset) != FRONT_END_VERSION,
    )
    info("alignment: done")
    return 0


def _delete(experiment: Path) -> None:
    """Delete an experiment; a kill leaves no part of it under its name."""
    deleted = experiment.with_name(f".{experiment.name}.partial")
    shutil.rmtree(deleted, ignore_errors=True)
    if experiment.is_dir():
        experiment.rename(deleted)
        shutil.rmtree(deleted, ignore_errors=True)


def aligner_settings(settings: ExperimentSettings) -> ExperimentSettings:
    """Return the settings of the aligner that a recipe's stage 1 trains on its corpora, in a separate folder.

    Raises:
        SettingsError: the file that `preprocess.aligner_config` names cannot be used.
        AligningError: it configures another kind of model.
    """
    preprocess = settings.preprocess
    folder = preprocess.processed_path / _FOLDER
    of_its_own = {
        "processed_dir": str(folder / "processed"),
        "trim_silence": False,
        "textgrid_dir": "",
        "alignment": "learned",
    }
    layer = {
        "dataset": list(settings.dataset),
        "dataset_path": dict(settings.dataset_path),
        "dataset_layout": dict(settings.dataset_layout),
        "dataset_subset": {name: list(parts) for name, parts in settings.dataset_subset.items()},
        "dataset_language": dict(settings.dataset_language),
        "log_dir": str(folder),
        "preprocess": preprocess.model_dump(mode="json") | of_its_own,
    }
    source = preprocess.aligner_config
    own = refined_settings(resolve_path(source), layer, source, settings_class)
    if kind_of(own.model_type) != "aligner":
        raise AligningError(f"preprocess.aligner_config: {source} is for a {own.model_type}, which is not an aligner")
    return own


def is_trained(experiment: Path, settings: ExperimentSettings) -> bool:
    """Return whether the training of an aligner has reached the last step of the settings."""
    newest = CheckpointFolder(experiment / "checkpoint").newest()
    return newest is not None and 0 < settings.train.max_steps <= newest.step


def what_has_changed(experiment: Path, settings: ExperimentSettings) -> list[str]:
    """List the differences between the settings of an aligner and those it was trained with."""
    ours, theirs = (
        each.model_dump(mode="json", include={"model_type", "model", "train"})
        for each in (settings, find_bundle(experiment).settings)
    )
    return differing_settings(ours, theirs)


def why_to_train_again(experiment: Path, settings: ExperimentSettings) -> str:
    """Return why an existing aligner cannot align the present corpora; "" if it can, or can once trained.

    Args:
        experiment: of the aligner.
        settings: present ones from `aligner_settings`, with stage 1 done for them.
    """
    try:
        bundle = find_bundle(experiment)
        open_network(bundle)
    except RecitalError as error:
        return f"cannot be used any more ({' '.join(str(error).split())})"
    symbols = open_symbols(settings.preprocess.processed_path, settings.dataset).symbols
    known = bundle.symbols.symbols if bundle.symbols is not None else ()
    datasets = [dataset for dataset in settings.dataset if dataset not in bundle.settings.dataset]
    unknown = [f"the corpora {', '.join(datasets)}"] if datasets else []
    if new := [symbol for symbol in symbols if symbol not in known and symbol != LATER]:
        unknown.append(f"the phones {' '.join(new)}")
    if unknown:
        return f"was not trained on {' and '.join(unknown)}"
    if symbols != known:
        return "has other phoneme ids"
    if set(settings.dataset) != set(bundle.settings.dataset) and not is_trained(experiment, settings):
        return f"was stopped while training on {', '.join(bundle.settings.dataset)}"
    return ""
