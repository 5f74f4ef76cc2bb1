"""Layouts of other programs' models: one table that names what lies in a place, the most specific first.

Files are recognised without reading weights: by the names of their tensors, by the settings beside them, or by their
own names. A layout is read by the module that the registry names for its model; others are refused by what they are.
"""

from __future__ import annotations

import importlib
import json
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from config.load import SettingsError, read_json5
from models.bundle import SETTINGS_FILE, BundleError
from models.hifigan.other_layouts import ARGUMENTS_FILE, arguments_of, is_amphions, step_of_amphion
from models.registry import MODELS
from utils.console import info
from utils.inert_pickle import read_top
from utils.torch_file import SAFETENSORS, is_archive, names_within, what_else

if TYPE_CHECKING:
    from models.contracts import PublishedLayout

CONFIG_FILE = "config.json"
_CHECKPOINTS = ("", "checkpoint", "checkpoints")
# What models are in; the other files of their folders, such as code and recordings, are passed over.
_MODEL_FILE = re.compile(
    r".*\.(pt|pth|ckpt|bin|pkl|nemo|onnx|safetensors|zip|tar|tgz|gz|h5|pb|tflite|keras)|(g|do)_\d+|generator(_v\d)?",
    re.IGNORECASE,
)
_HEAD_BYTES = 512
_OTHER_SYMBOLS = (
    "these weights use another symbol set, which Recital cannot map; its UnivNet or HiFi-GAN, in a file of its own, "
    "can be read"
)
_MEMBERS = 8  # of an archive, which has its settings first
_SHOWN = 5
_EPOCHS, _STEPS = ("epoch", "epochs"), ("steps", "step", "global_step", "iteration", "iter")


class Evidence:
    """All that shows the layout of a file, each part read when it is first asked for; weights never are.

    Args:
        file: whose layout is asked for.

    Attributes:
        file: likewise.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def fault(self) -> str:
        """Another kind of file than its name promises, such as a web page; empty for what it promises."""
        return what_else(self.file)

    @cached_property
    def _names(self) -> bytes:
        return names_within(self.file)

    def has(self, *names: str) -> bool:
        """Return whether the file names all of these tensors or keys, or parts of names."""
        return all(name.encode() in self._names for name in names)

    def has_like(self, pattern: bytes) -> bool:
        """Return whether the file names a tensor or key that contains a pattern."""
        return bool(re.search(pattern, self._names))

    @property
    def is_torch_file(self) -> bool:
        """Return whether the file is torch's or one of safetensors."""
        return bool(self._names)

    def is_called(self, pattern: str) -> bool:
        """Return whether the whole name of the file is like a pattern, in capitals or not."""
        return bool(re.fullmatch(pattern, self.file.name, re.IGNORECASE))

    @cached_property
    def head(self) -> bytes:
        """The first bytes."""
        with self.file.open("rb") as file:
            return file.read(_HEAD_BYTES)

    @cached_property
    def members(self) -> Mapping[str, bytes]:
        """Names of the first files in an archive, with the content of settings; empty for other files."""
        try:
            if is_archive(self.file):
                with zipfile.ZipFile(self.file) as archive:
                    return dict.fromkeys(archive.namelist(), b"")
            if tarfile.is_tarfile(self.file):
                with tarfile.open(self.file) as archive_of_tar:
                    found = (member for member, _ in zip(archive_of_tar, range(_MEMBERS), strict=False))
                    return {each.name: _content(archive_of_tar, each) for each in found}
        except Exception:  # a damaged file raises anything
            return {}
        return {}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The `config.json` beside the file; empty if there is none, or it is damaged."""
        try:
            found = json.loads((self.file.parent / CONFIG_FILE).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The `args.json` of an experiment of Amphion; empty if there is none, or it is damaged."""
        try:
            return read_json5(path) if (path := arguments_of(self.file)) is not None else {}
        except SettingsError:
            return {}

    @property
    def is_amphions(self) -> bool:
        """Return whether the file is one of Amphion's checkpoints."""
        return is_amphions(self.file, is_wrapped=self.has("generator_state_dict"))

    @cached_property
    def top(self) -> Mapping[str, Any]:
        """The content of a torch file at its top, tensors as records."""
        return read_top(self.file) if self.is_torch_file else {}

    @property
    def number(self) -> tuple[int, ...]:
        """Epoch and step, or the last number in the name: the greatest is the newest; empty without any."""
        last = re.findall(r"\d+", self.file.stem)[-1:]
        return step_of_amphion(self.file) or tuple(map(int, last))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member) if member.name.endswith((".yaml", ".json")) else None
    return opened.read() if opened is not None else b""


@dataclass(frozen=True)
class Layout:
    """A row of the table.

    Attributes:
        name: of the program and the model, or how to find it.
        matches: whether a file is in this layout.
        model_type: of the model that is read from it; empty if none is.
        reason: why it cannot be read; empty if it only is not yet.
    """

    name: str | Callable[[Evidence], str]
    matches: Callable[[Evidence], bool]
    model_type: str = ""
    reason: str = ""


def _has(*names: str) -> Callable[[Evidence], bool]:
    return lambda found: found.has(*names)


def _called(pattern: str) -> Callable[[Evidence], bool]:
    return lambda found: found.is_called(pattern)


def _nemo(found: Evidence) -> str:
    config = next((content for name, content in found.members.items() if name.endswith("model_config.yaml")), b"")
    target = re.search(rb"^target: *\S*\.(\w+)", config, re.MULTILINE)
    return f"NeMo {target[1].decode()}" if target else "NeMo model"


def _is_piper_voice(found: Evidence) -> bool:
    return found.is_called(r".*\.onnx") and found.file.with_name(f"{found.file.name}.json").is_file()


def _is_onnx(found: Evidence) -> bool:
    # A protocol buffer that begins with the version of its format, then the name of the program that wrote it.
    return found.is_called(r".*\.onnx") or (found.head[:1] == b"\x08" and b"pytorch" in found.head[:64])


def _is_torch_script(found: Evidence) -> bool:
    return any("/code/" in name for name in found.members)


def _is_archive(found: Evidence) -> bool:
    return not found.is_torch_file and bool(found.members)


def _archive(found: Evidence) -> str:
    names = [name for name in found.members if not name.endswith("/")]
    return f"archive of {', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}"


def _is_amphions_hifigan(found: Evidence) -> bool:
    model = found.arguments.get("model", {})
    is_hifigan = isinstance(model, Mapping) and "hifigan" in model and model.get("generator", "hifigan") == "hifigan"
    return found.is_amphions and (is_hifigan or not found.arguments)  # damaged settings are named by the reader


def _amphion(found: Evidence) -> str:
    model = found.arguments.get("model")
    generator = model.get("generator") if isinstance(model, Mapping) else None
    return f"Amphion {generator or found.arguments.get('model_type') or 'checkpoint'}"


def _lacks_arguments(found: Evidence) -> bool:
    return found.is_amphions and arguments_of(found.file) is None


def _coquis_model(found: Evidence) -> str:
    config = found.config
    name = config.get("generator_model") or config.get("model")
    return name if isinstance(name, str) and "audio" in config else ""


def _hugging_face_model(found: Evidence) -> str:
    names = found.config.get("architectures") or [found.config.get("model_type")]
    is_one = "architectures" in found.config or "transformers_version" in found.config
    return str(names[0]) if is_one and isinstance(names, list) and names else ""


def _is_hifigan(found: Evidence) -> bool:
    is_safe = found.file.suffix == SAFETENSORS  # a bundle's has the same names
    return found.has("conv_pre.", "resblocks.", "ups.", "conv_post.") and (not is_safe or bool(found.config))


def _others(found: Evidence) -> str:
    keys = list(found.top)[:_SHOWN]
    return f"torch file of {', '.join(keys)}" if keys else "torch file"


LAYOUTS = (
    # Archives and formats of other libraries.
    Layout(_nemo, lambda found: found.is_called(r".*\.nemo") or _nemo(found) != "NeMo model"),
    Layout("Piper voice", _is_piper_voice),
    Layout("ONNX model", _is_onnx),
    Layout("TensorFlow model", _called(r".*\.(h5|pb|tflite|keras)")),
    Layout("TorchScript module", _is_torch_script, reason="it holds code; save its state_dict in its own program"),
    Layout(_archive, _is_archive, reason="it has to be unpacked first"),
    # By the settings beside them.
    Layout(
        "Amphion checkpoint",
        _lacks_arguments,
        reason=f"{ARGUMENTS_FILE}, which Amphion writes at the root of an experiment, is missing; copy it there",
    ),
    Layout("Amphion HiFi-GAN", _is_amphions_hifigan, "HiFiGAN"),
    Layout(_amphion, lambda found: found.is_amphions),
    Layout(lambda found: f"Coqui {_coquis_model(found)}", lambda found: bool(_coquis_model(found))),
    Layout(lambda found: f"Hugging Face {_hugging_face_model(found)}", lambda found: bool(_hugging_face_model(found))),
    # By the names of their tensors.
    Layout("NVIDIA HiFi-GAN", _has("generator", "train_setup", "upsample_rates"), "HiFiGAN"),
    Layout("Coqui XTTS", _has("gpt.gpt.", "hifigan_decoder.")),
    Layout(
        "DelightfulTTS of tts-framework",
        _has("acoustic_model.", "utterance_prosody_encoder"),
        reason=_OTHER_SYMBOLS,
    ),
    Layout("DelightfulTTS of voicesmith", _has("utterance_prosody_encoder"), reason=_OTHER_SYMBOLS),
    Layout("UnivNet", _has("res_stack.0.kernel_predictor.input_conv.0", "conv_post.1"), "UnivNet"),
    Layout("WaveGlow", _has("convinv.0.conv.weight"), "WaveGlow"),
    Layout("WaveGlow", _has("glow", "WaveGlow", "convinv"), "WaveGlow"),
    Layout("NeMo FastPitch", _has("fastpitch.encoder.")),
    Layout("NVIDIA FastPitch", _has("encoder.word_emb.weight"), "FastPitch"),
    Layout("NVIDIA Tacotron 2", _has("decoder.attention_rnn.", "embedding.weight")),
    Layout("FastSpeech 2 of ming024", _has("encoder.src_word_emb.weight", "variance_adaptor.")),
    Layout("ESPnet", lambda found: found.has_like(rb"tts\.(encoder|generator|decoder|text_encoder)\.")),
    Layout("Piper training checkpoint", _has("model_g.enc_p.")),
    Layout("VITS", _has("enc_p.", "flow.flows.")),
    Layout("Matcha-TTS", _has("decoder.estimator.")),
    Layout("StyleTTS 2", _has("bert_encoder", "text_encoder", "predictor", "decoder")),
    Layout("Vocos", _has("backbone.convnext.", "head.out.")),
    Layout("ParallelWaveGAN's HiFi-GAN", _has("input_conv.", "output_conv.", "upsamples.")),
    Layout("Parallel WaveGAN", _has("first_conv.", "last_conv_layers.")),
    Layout("BigVGAN", _has("conv_pre.", ".activations.")),
    Layout("NSF-HiFi-GAN", _has("conv_pre.", "noise_convs.")),
    Layout("iSTFTNet", lambda found: found.has("conv_pre.") and "gen_istft_n_fft" in found.config),
    Layout("HiFi-GAN", _is_hifigan, "HiFiGAN"),
    # Parts of a training.
    Layout(
        "discriminators of a HiFi-GAN",
        lambda found: found.has("mpd", "msd") or found.is_called(r"do_\d+|hifigan_discrim_.*"),
        reason="a vocoder is its generator: name g_* or hifigan_gen_*, or their folder",
    ),
    Layout(
        "optimizer state",
        lambda found: {"state", "param_groups"} <= found.top.keys(),
        reason="a model is its weights, not what trained them",
    ),
    # By their own names, whatever they hold.
    Layout("NVIDIA HiFi-GAN", _called(r"hifigan_gen_checkpoint_\d+.*\.pt"), "HiFiGAN"),
    Layout("UnivNet", _called(r"univnet.*\.pt"), "UnivNet"),
    Layout("WaveGlow", _called(r"(nvidia_)?waveglow.*\.pt"), "WaveGlow"),
    Layout("NVIDIA FastPitch", _called(r".*fastpitch.*\.(pt|pth)"), "FastPitch"),
    Layout("HiFi-GAN", _called(r"g_\d+|generator(_v\d)?"), "HiFiGAN"),
    Layout("HiFi-GAN", lambda found: {"upsample_rates", "resblock"} <= found.config.keys(), "HiFiGAN"),
    Layout("PyTorch Lightning checkpoint", _has("pytorch-lightning_version")),
    Layout(
        "safetensors file",
        _called(r".*\.safetensors"),
        reason=f"neither the {SETTINGS_FILE} of a bundle nor the {CONFIG_FILE} of a model that is read lies beside it",
    ),
    Layout(_others, lambda found: found.is_torch_file, reason="its tensors are those of no model that is read"),
    Layout("archive", lambda found: found.head[:2] == b"PK", reason="it is damaged; download it again"),
)
"""Recognisers of all layouts; the first that matches a file names it."""

_FAULTY = Layout(lambda found: found.fault, lambda found: bool(found.fault))


@dataclass(frozen=True)
class Found:
    """A model of another program.

    Attributes:
        layout: that it is in.
        evidence: of its file.
    """

    layout: Layout
    evidence: Evidence

    @property
    def name(self) -> str:
        """Program and model, and the epoch or the step that the file states."""
        layout, top = self.layout, self.evidence.top
        name = layout.name if isinstance(layout.name, str) else layout.name(self.evidence)
        for unit, keys in (("epoch", _EPOCHS), ("step", _STEPS)):
            if (number := next((top[key] for key in keys if isinstance(top.get(key), int)), None)) is not None:
                return f"{name}, {unit} {number}"
        if (step := step_of_amphion(self.evidence.file)) is not None:
            return f"{name}, epoch {step[0]}"
        return name

    def reader(self) -> PublishedLayout:
        """Return the module that reads the file.

        Raises:
            BundleError: none does; says what the file is.
        """
        layout, file = self.layout, self.evidence.file
        if layout is _FAULTY:
            raise BundleError(f"{file}: {self.evidence.fault}")
        if not layout.model_type:
            answer = f"cannot be read, because {layout.reason}" if layout.reason else "not readable yet"
            raise BundleError(f"{file}: {self.name}: {answer}")
        return cast("PublishedLayout", importlib.import_module(MODELS[layout.model_type].published))


def find_foreign(path: Path) -> Found | None:
    """Return the model of another program that lies in a place; None if there is none.

    Of a folder, its folder of checkpoints included, a layout that is read comes before others, then the most specific,
    then the newest file.

    Args:
        path: a file, or a folder.
    """
    if path.is_file() and path.name not in (CONFIG_FILE, ARGUMENTS_FILE):
        return _recognised(path)
    folder = path.parent if path.is_file() else path
    models = [found for file in _files(folder) if (found := _recognised(file)) is not None]
    if not models:
        return None
    place = min(map(_rank, models))
    alike = [found for found in models if _rank(found) == place]
    best = max(alike, key=lambda found: (found.evidence.number, found.evidence.file.name))
    if others := [
        found.evidence.file.name
        for found in alike
        if found is not best and not found.evidence.number and not best.evidence.number
    ]:
        info(f"{folder}: taking {best.evidence.file.name}; name the file for {' or '.join(sorted(others))}")
    return best


def _recognised(file: Path) -> Found | None:
    evidence = Evidence(file)
    return next((Found(layout, evidence) for layout in (_FAULTY, *LAYOUTS) if layout.matches(evidence)), None)


def _rank(found: Found) -> tuple[bool, bool, int]:
    layout = found.layout
    is_faulty = layout is _FAULTY
    return not layout.model_type, is_faulty, 0 if is_faulty else LAYOUTS.index(layout)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files that may be models: of a folder, of its checkpoints, and of each step of Amphion's."""
    for name in _CHECKPOINTS:
        for path in sorted((folder / name).iterdir()) if (folder / name).is_dir() else ():
            if path.is_file() and _MODEL_FILE.fullmatch(path.name):
                yield path
            elif path.is_dir() and step_of_amphion(path / "any") is not None:
                yield from (each for each in sorted(path.iterdir()) if each.is_file())
