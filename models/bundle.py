"""A trained model as a folder that is enough to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from config.load import SettingsError, read_settings, write_settings
from config.paths import rooted
from config.schema import ExperimentSettings
from models.registry import published_layout, settings_class
from processors.datasets.acoustic_data import LANGUAGES_FILE, open_languages
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE, SpeakerEmbeddings
from processors.speakers.statistics import SpeakerStatistics, open_statistics, save_statistics
from processors.text.symbols import SymbolTable
from utils.checkpoint import average_name, unfitting
from utils.errors import RecitalError
from utils.files import atomic_file, write_atomically
from utils.suggestions import did_you_mean
from utils.version import VERSION, release

WEIGHTS_FILE = "model.safetensors"
SETTINGS_FILE = "settings.json"
SYMBOLS_FILE = "symbols.json"
STATISTICS_FILE = "statistics.json"
SPEAKERS_FILE = "speakers.json"
LEXICON_FILE = "lexicon.txt"
VERSION_FILE = "version.json"

_PLACES_OF_PREPROCESS = ("processed_dir", "lexicon_path", "speaker_encoder_path", "textgrid_dir")


class BundleError(RecitalError):
    """A bundle that is missing, incomplete or does not fit the network it names."""


@dataclass(frozen=True)
class Bundle:
    """What it takes to use a trained model, with nothing of the machine that trained it.

    Attributes:
        settings: all resolved settings of the experiment.
        weights: by parameter name.
        symbols: the symbol table of the front end; None for a model that reads no text.
        statistics: pitch and energy per speaker; empty for a model that needs none.
        speakers: name to row of the speaker table, in that order; empty for a model that knows no speakers.
        embeddings: of the speakers, for a model that knows them by their voices; None for others.
        languages: what each speaker speaks; what is missing is the language of the settings.
        folder: where the bundle was opened; `Path()` for one that is being made.
        version: of the Recital that wrote it; empty for a bundle from before 0.2.0.
    """

    settings: ExperimentSettings
    weights: Mapping[str, Tensor]
    symbols: SymbolTable | None = None
    statistics: Mapping[str, SpeakerStatistics] = field(default_factory=dict)
    speakers: Mapping[str, int] = field(default_factory=dict)
    embeddings: SpeakerEmbeddings | None = None
    languages: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()
    version: str = VERSION

    def save(self, folder: Path | str) -> None:
        """Write the bundle's files into a folder, made if missing; each file appears whole."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / WEIGHTS_FILE) as partial:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()}, partial)
        write_settings(folder / SETTINGS_FILE, self.settings)
        if self.symbols is not None:
            self.symbols.save(folder / SYMBOLS_FILE)
        if self.statistics:
            save_statistics(folder / STATISTICS_FILE, self.statistics)
        if self.speakers:
            write_atomically(folder / SPEAKERS_FILE, json.dumps(self.speakers, indent=2, ensure_ascii=False) + "\n")
        if self.embeddings is not None:
            self.embeddings.save(folder / EMBEDDINGS_FILE)
        if self.languages:
            write_atomically(folder / LANGUAGES_FILE, json.dumps(self.languages, indent=2, ensure_ascii=False) + "\n")
        if (lexicon := self.lexicon_path) is not None and lexicon != folder / LEXICON_FILE:
            write_atomically(folder / LEXICON_FILE, lexicon.read_bytes())
        write_atomically(folder / VERSION_FILE, json.dumps({"recital": VERSION}) + "\n")

    @property
    def lexicon_path(self) -> Path | None:
        """The user's lexicon: the bundle's copy of it, or, before the bundle is saved, the one in the settings."""
        if not self.settings.preprocess.lexicon_path:
            return None
        return self.folder / LEXICON_FILE if self.folder != Path() else rooted(self.settings.preprocess.lexicon_path)

    @classmethod
    def open(cls, folder: Path | str) -> Bundle:
        """Read a bundle.

        Args:
            folder: the bundle.

        Raises:
            BundleError: the folder is no bundle, a file in it is damaged, or a later Recital wrote it whose bundles
                this one cannot read.
        """
        folder = Path(folder)
        if not (folder / SETTINGS_FILE).is_file():
            raise BundleError(f"{folder}: is no bundle: it has no {SETTINGS_FILE}")
        version = _read_version(folder / VERSION_FILE)
        return cls(
            settings=_read_settings(folder / SETTINGS_FILE, version),
            weights=_read_weights(folder / WEIGHTS_FILE),
            symbols=SymbolTable.open(folder / SYMBOLS_FILE) if (folder / SYMBOLS_FILE).is_file() else None,
            statistics=open_statistics(folder / STATISTICS_FILE) if (folder / STATISTICS_FILE).is_file() else {},
            speakers=_read_speakers(folder / SPEAKERS_FILE) if (folder / SPEAKERS_FILE).is_file() else {},
            embeddings=SpeakerEmbeddings.open(path) if (path := folder / EMBEDDINGS_FILE).is_file() else None,
            languages=open_languages(folder / LANGUAGES_FILE),
            folder=folder,
            version=version,
        )

    def require_front_end(self) -> None:
        """Raise a `BundleError` unless the bundle holds what a model needs that speaks text."""
        lacking = [
            name
            for name, is_there in (
                (SYMBOLS_FILE, self.symbols is not None),
                (SPEAKERS_FILE, bool(self.speakers)),
                (STATISTICS_FILE, self.speakers.keys() <= self.statistics.keys()),
            )
            if not is_there
        ]
        if lacking:
            raise BundleError(
                f"{self.folder}: lacks {' and '.join(lacking)}, or a part of it, which a {self.settings.model_type} "
                "needs to speak; copy the whole bundle"
            )

    def load_into(self, network: nn.Module) -> None:
        """Give a network the bundle's weights.

        Raises:
            BundleError: tensors are missing, unknown or of another shape; each is named.
        """
        if faults := unfitting(network, self.weights):
            raise BundleError(f"{self.folder}: the weights do not fit the network of its settings: {faults}")
        network.load_state_dict(dict(self.weights))


def find_bundle(place: Path | str) -> Bundle:
    """Open what a user may point at: a bundle, an experiment folder, a checkpoint inside one, or a published one.

    A checkpoint brings its weights; settings, symbols and statistics come from its experiment's bundle. One in the
    layout in which the model's authors publish theirs may be named by its folder or by its file.

    Raises:
        BundleError: there is nothing of the kind there; says what was looked for.
    """
    place = Path(place)
    if (place / WEIGHTS_FILE).is_file() and (place / SETTINGS_FILE).is_file():
        return Bundle.open(place)
    if (place / "bundle").is_dir():
        return Bundle.open(place / "bundle")
    if (layout := published_layout(place)) is not None:
        return layout.open_published(place)
    if not place.is_dir():
        raise BundleError(
            f"{place}: there is no such folder; name an experiment, one of its checkpoints, or a bundle{_near(place)}"
        )
    if (place.parent.parent / "bundle").is_dir() and any(place.glob("*.safetensors")):
        return _checkpoint_as_bundle(place)
    raise BundleError(
        f"{place}: neither an experiment with a bundle/, nor a checkpoint, nor a bundle "
        f"({SETTINGS_FILE} and {WEIGHTS_FILE}); an experiment gets its bundle at the first checkpoint of stage 2"
    )


def _near(place: Path) -> str:
    """Give the end of a message about a folder that is not there: the one beside it that was most likely meant."""
    beside = [each.name for each in place.parent.iterdir() if each.is_dir()] if place.parent.is_dir() else []
    return did_you_mean(place.name, beside)


def _checkpoint_as_bundle(checkpoint: Path) -> Bundle:
    """Put a checkpoint's weights into its experiment's bundle, averaged ones if there are any.

    A checkpoint may hold more networks than the bundle.
    """
    bundle = Bundle.open(checkpoint.parent.parent / "bundle")
    averaged_first = sorted(
        checkpoint.glob("*.safetensors"), key=lambda path: (not path.stem.endswith(average_name("")), path)
    )
    for path in averaged_first:
        weights = _read_weights(path)
        if weights.keys() == bundle.weights.keys():
            return replace(bundle, weights=weights)
    raise BundleError(f"{checkpoint}: holds no network with the parameters of {bundle.folder}")


def _read_version(path: Path) -> str:
    """Read which Recital wrote a bundle; empty where the bundle does not say.

    Raises:
        BundleError: the file is damaged, or of a later major version.
    """
    if not path.is_file():
        return ""
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["recital"]
        major, _, _ = release(version)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: is damaged: {error}; copy the bundle again") from error
    if major > release(VERSION)[0]:
        raise BundleError(
            f"{path.parent}: was written by Recital {version}, whose bundles Recital {VERSION} cannot read; "
            "update Recital"
        )
    return str(version)


def _read_settings(path: Path, version: str) -> ExperimentSettings:
    try:
        return read_settings(path, settings_class)
    except SettingsError as error:
        if not version or release(version) <= release(VERSION):
            raise
        raise BundleError(
            f"{error}\n  the bundle was written by Recital {version}, this is {VERSION}: update Recital"
        ) from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as weights:
            return {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError:
        raise BundleError(f"{path}: there are no weights there") from None
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path}: the weights are damaged: {error}") from error


def _read_speakers(path: Path) -> dict[str, int]:
    try:
        speakers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if not isinstance(speakers, dict) or sorted(speakers.values()) != list(range(len(speakers))):
        raise BundleError(f"{path}: must give each speaker's name its row, counted from 0")
    return speakers


def for_others(bundle: Bundle, dtype: torch.dtype) -> Bundle:
    """Make a bundle fit to be passed on: its weights in `dtype`, its settings without this machine's folders.

    Of a folder outside the project only the last name stays.

    Raises:
        BundleError: a weight is too large for `dtype`.
    """
    weights = {name: _in_dtype(name, tensor, dtype) for name, tensor in bundle.weights.items()}
    settings = bundle.settings
    preprocess = settings.preprocess.model_copy(
        update={name: _name_alone(getattr(settings.preprocess, name)) for name in _PLACES_OF_PREPROCESS}
    )
    dataset_path = {name: _name_alone(path) for name, path in settings.dataset_path.items()}
    update = {"dataset_path": dataset_path, "log_dir": _name_alone(settings.log_dir), "preprocess": preprocess}
    return replace(bundle, settings=settings.model_copy(update=update), weights=weights)


def _in_dtype(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    converted = tensor.to(dtype)
    if not torch.isfinite(converted).all():
        raise BundleError(f"{name}: reaches {float(tensor.abs().max()):.4g}, which {dtype} cannot hold; choose another")
    return converted


def _name_alone(place: str) -> str:
    outside = PurePath(place).is_absolute() or ".." in PurePath(place).parts
    return PurePath(place).name if outside else place
