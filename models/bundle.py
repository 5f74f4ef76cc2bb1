"""A trained model as a folder, or one file, that is enough to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from config.load import write_settings
from config.paths import VOCODERS
from config.schema import ExperimentSettings
from processors.speakers.sources import Source, write_sources
from processors.speakers.speaker_embeddings import EMBEDDINGS_FILE, SpeakerEmbeddings
from processors.speakers.statistics import STATISTICS_FILE, SpeakerStatistics, save_statistics
from processors.speakers.voice_folder import LANGUAGES_FILE, SPEAKERS_FILE
from processors.text.front_end_version import FRONT_END, FRONT_END_VERSION, FrontEndVersion
from processors.text.mandarin import FORMER_TONES, has_former_tones
from processors.text.symbols import SYMBOLS_FILE, SymbolTable
from utils.bundle_file import is_folder, read_bytes
from utils.errors import RecitalError
from utils.files import atomic_file, write_atomically
from utils.version import VERSION

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS_FILE = "model.safetensors"
SETTINGS_FILE = "settings.json"
LEXICON_FILE = "lexicon.txt"
VERSION_FILE = "version.json"
VOCODER_FILE = "vocoder.json"
VOCODER_FOLDER = "vocoder"


class BundleError(RecitalError):
    """A bundle that is missing, incomplete or does not fit the network it names."""


@dataclass(frozen=True)
class Bundle:
    """A trained model with all that using it needs, and nothing of the machine that trained it.

    Attributes:
        settings: all resolved settings of the experiment.
        weights: by parameter name.
        symbols: the symbol table of the front end; None for a model that reads no text.
        statistics: pitch and energy per speaker; empty for a model that needs none.
        speakers: name to row of the speaker table, in that order; empty for a model without speakers.
        embeddings: of the speakers, for a model conditioned on them (`speaker_conditioning: encoder`); None for others.
        languages: what each speaker speaks; what is missing is the language of the settings.
        folder: where the bundle was opened, or its bundle file; `Path()` for one that is being made.
        version: of the Recital that wrote it; empty for a bundle from before 0.2.0.
        front_end: version of the front end that pronounced the training's texts; meaningless without `symbols`.
        vocoder_name: folder within `ckpts/vocoder` with the vocoder to use; "" where none is named.
        sources: of synthesized speech, whose licences bind the weights; empty where all was recorded, or unknown.
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
    front_end: FrontEndVersion = FRONT_END_VERSION
    vocoder_name: str = ""
    sources: tuple[Source, ...] = ()

    def save(self, folder: Path | str) -> None:
        """Write the bundle's files into a folder, created if missing; each file appears whole."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / WEIGHTS_FILE) as partial:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.weights.items()}, partial)
        self.save_without_weights(folder)

    def save_without_weights(self, folder: Path) -> None:
        """Write all files but the weights, as `save` does."""
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
            write_atomically(folder / LEXICON_FILE, read_bytes(lexicon))
        write_sources(folder, self.sources)
        versions = {"recital": VERSION} | ({FRONT_END: self.front_end.as_dict()} if self.symbols is not None else {})
        write_atomically(folder / VERSION_FILE, json.dumps(versions) + "\n")
        if self.vocoder_name:
            write_atomically(folder / VOCODER_FILE, json.dumps({"name": self.vocoder_name}) + "\n")

    @property
    def vocoder_folder(self) -> Path | None:
        """The vocoder that came with the bundle: the one within it, else the one it names; None without either."""
        within = self.folder / VOCODER_FOLDER
        if self.folder != Path() and is_folder(within):
            return within
        return VOCODERS / self.vocoder_name if self.vocoder_name else None

    @property
    def lexicon_path(self) -> Path | None:
        """The user's lexicon: the bundle's copy of it, or, before the bundle is saved, the one in the settings."""
        named = self.settings.preprocess.lexicon_file
        return self.folder / LEXICON_FILE if named and self.folder != Path() else named

    def require_front_end(self) -> None:
        """Raise a `BundleError` unless the bundle holds what a model needs that speaks text.

        One whose phones have the tones of before version 2 would read every tone as another.
        """
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

        preprocess = self.settings.preprocess
        languages = {preprocess.language, *self.languages.values()} if self.languages else {preprocess.language}
        if (
            self.front_end.tones < 2
            and preprocess.phone_extractor == "espeak"
            and any(map(has_former_tones, languages))
        ):
            raise BundleError(
                f"{self.folder}: was trained {FORMER_TONES}; run stages 1 and 2 again with this version of Recital"
            )

    def load_into(self, network: nn.Module) -> None:
        """Load the bundle's weights into a network.

        Raises:
            BundleError: tensors are missing, unknown or of another shape; each is named.
        """
        from utils.checkpoint import unfitting

        if faults := unfitting(network, self.weights):
            raise BundleError(f"{self.folder}: the weights do not fit the network of its settings: {faults}")
        network.load_state_dict(dict(self.weights))
