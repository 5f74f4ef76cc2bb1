"""Flags of several commands: prosody, vocoder, device, metrics, and those of NVIDIA's FastPitch."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.other_toolkits import NVIDIA_FLAGS, NVIDIA_SWITCHES
from models.bundles.formats import describe_published
from utils.precision import PRECISIONS

if TYPE_CHECKING:
    from models.contracts import Prosody
    from models.inference.times_files import TimesFiles
    from processors.evaluation.evaluate_folders import Yardsticks
    from processors.evaluation.texts import Text
    from processors.evaluation.transcriber import Transcribes


def add_text_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose the texts, their speaker and language."""
    add = parser.add_argument
    add("--infer_mode", choices=["single", "batch"], default="single", help="one text, or many")
    add(
        "--infer_text",
        metavar="TEXT",
        help="what to say; for batch, a file of texts: lines, a table, a filelist or JSON lines",
    )
    add(
        "--text_file",
        metavar="FILE",
        help="instead: one text of any length, such as a book; - for standard input. A run that was killed goes on by "
        "the same command",
    )
    add("--infer_dataset", metavar="NAME", help="for batch: the corpus; the first of the settings unless given")
    sets = ["test", "valid", "train", "golden_test"]
    add("--infer_testing_set", choices=sets, default="test", help="for batch: which set of the corpus")
    add("--infer_speaker_name", metavar="NAME", help="the speaker, where the model has several")
    add(
        "--infer_language",
        metavar="CODE",
        help="language of the texts, such as de; what the speaker, or the recording in the corpus, speaks unless given",
    )
    add(
        "--markup",
        choices=["auto", "ssml", "none"],
        default="auto",
        help="whether the texts are SSML; auto: those that begin with <speak or <?xml, and others may have marks "
        "such as [pause:0.5s]; none: all is read as it stands",
    )


def add_form_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the form in which speech comes: one WAV file, several, or a stream."""
    add = parser.add_argument
    add(
        "--wav_per",
        choices=["text", "paragraph"],
        default="text",
        help="for one text: a WAV file of the whole, or NAME/0001.wav, NAME/0002.wav, ... of its paragraphs",
    )
    add(
        "--stream",
        choices=["wav", "raw"],
        help="write the sound to standard output as it is computed, as WAV or as 16-bit samples without a header; no "
        "files are written",
    )


def require_texts(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse, as wrong usage, flags of texts and their form that contradict each other."""
    if arguments.infer_mode == "single":
        if (arguments.infer_text is None) == (arguments.text_file is None):
            parser.error("--infer_mode single needs --infer_text or, for the text in a file, --text_file")
        if arguments.infer_dataset is not None:
            parser.error("--infer_dataset needs --infer_mode batch")
    elif arguments.text_file is not None or arguments.wav_per != "text":
        parser.error("--text_file and --wav_per need --infer_mode single: batch reads many texts, --infer_text FILE")
    elif arguments.stream is not None:
        parser.error("--stream needs --infer_mode single")
    elif arguments.prosody_from is not None:
        parser.error("--prosody_from needs --infer_mode single: it is a recording of one text")
    elif arguments.infer_text is not None and arguments.infer_dataset is not None:
        parser.error("--infer_mode batch speaks either the file --infer_text or the corpus --infer_dataset, not both")


def sound_facts(arguments: argparse.Namespace) -> dict[str, str]:
    """Return what the sound depends on beside the models and the phones, their prosody and their speaker."""
    from models.inference.long_text import contents_of

    function = arguments.pitch_function and arguments.pitch_function.rpartition(":")[0]
    files = (function, arguments.pitch_transform_custom, arguments.reference_audio)
    names = ("precision", "sigma", "denoising_strength", "pitch_function")
    facts = {name: str(getattr(arguments, name)) for name in names}
    return facts | {"files": contents_of(Path(file) for file in files if file)}


def add_change_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the flags of the prosody that a file or numbers ask for; return their group."""
    ours = parser.add_argument_group("prosody", "what is to differ from what the voice predicts; see docs/controls.md")
    numbers = {
        "pace": "factor on the speed; pauses that are asked for stay",
        "pitch_amplify": "factor on the distance of the pitch from the speaker's mean",
        "pitch_shift_hz": "added to the pitch, in Hz",
        "pitch_shift_semitones": "added to the pitch, in semitones",
        "energy_db": "added to the level, in dB",
        "pitch_control": "factor on the pitch in Hz",
        "energy_control": "factor on the energy that the model reads",
        "duration_control": "factor on durations; 2 is half as fast",
        "fade_out_ms": "length of a fade at the end, in ms",
    }
    for name, meaning in numbers.items():
        ours.add_argument(f"--{name}", type=float, metavar="X", help=meaning)
    switches = {
        "pitch_flatten": "speak at the speaker's mean pitch",
        "pitch_invert": "mirror the pitch at the speaker's mean",
        "peak_normalize": "scale each recording to a peak of 1",
    }
    for name, meaning in switches.items():
        ours.add_argument(f"--{name}", action="store_true", help=meaning)
    files = {
        "pitch_function": ("FILE.py:NAME", "a function from the pitch of a sentence's phones in Hz, 0 where unvoiced"),
        "prosody": ("FILE", "JSON for the text and single words and phones, or durations as a TextGrid"),
    }
    for name, (metavar, meaning) in files.items():
        ours.add_argument(f"--{name}", metavar=metavar, help=meaning)
    return ours


def add_prosody_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change how a voice speaks: ours, and NVIDIA's transforms of pitch."""
    add_change_flags(parser).add_argument(
        "--prosody_from",
        metavar="FILE",
        help="a recording of the same words, whose durations, pitch and level are taken over",
    )
    nvidia = parser.add_argument_group("NVIDIA's transforms of pitch", "of every symbol, in place of those above")
    nvidia.add_argument("--pitch_transform_flatten", action="store_true", help="speak at the mean pitch")
    nvidia.add_argument("--pitch_transform_invert", action="store_true", help="mirror the pitch at the mean")
    nvidia.add_argument(
        "--pitch_transform_amplify",
        type=float,
        nargs="?",
        const=2.0,
        metavar="X",
        help="factor on its distance from it",
    )
    nvidia.add_argument("--pitch_transform_shift", type=float, metavar="HZ", help="added to the pitch, in Hz")
    nvidia.add_argument(
        "--pitch_transform_custom",
        nargs="?",
        const="pitch_transform.py",
        metavar="FILE.py",
        help="file with the function pitch_transform_custom(pitch, pitch_lens), in place of these",
    )


def add_times_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of files with the times of what is spoken."""
    parser.add_argument(
        "--times",
        nargs="+",
        type=_times_file,
        default=(),
        metavar="FILE",
        help="for one text: files for the times of its words, phones, visemes, marks and captions, by their ending "
        ".TextGrid, .json, .srt or .vtt",
    )
    parser.add_argument(
        "--times_format",
        type=_times_formats,
        default=(),
        metavar="LIST",
        help="such files beside each recording, as in json,srt",
    )
    parser.add_argument("--vtt_words", action="store_true", help="the time of each word within captions of .vtt files")


_TIMES = {kind.lower(): kind for kind in ("TextGrid", "json", "srt", "vtt")}


def _times_file(name: str) -> Path:
    """Return the value of `--times`, or refuse an unknown ending."""
    if Path(name).suffix.lower().removeprefix(".") not in _TIMES:
        raise argparse.ArgumentTypeError(f"{name}: expected a name that ends in .TextGrid, .json, .srt or .vtt")
    return Path(name)


def _times_formats(names: str) -> tuple[str, ...]:
    """Return the value of `--times_format`, or refuse an unknown format."""
    given = [name.strip().lower().removeprefix(".") for name in names.split(",")]
    if not set(given) <= set(_TIMES):
        raise argparse.ArgumentTypeError(f"{names}: expected {', '.join(_TIMES.values())}, or several with commas")
    return tuple(_TIMES[name] for name in given)


def check_outputs(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse flags of files to write that contradict others, as wrong usage."""
    single = arguments.infer_mode == "single"
    if arguments.stream is not None and single:
        for name in ("infer_output_dir", "overwrite", "times", "times_format"):
            if getattr(arguments, name):
                parser.error(f"--stream writes no files: leave --{name} out")
    if arguments.times and not single:
        parser.error("--times is for one text; --times_format writes files beside each recording")
    if arguments.wav_per != "text" and (arguments.stream is not None or arguments.times):
        parser.error("--wav_per paragraph writes several files: leave --stream out, and --times for --times_format")
    kinds = {path.suffix.lower() for path in arguments.times} | {f".{each}" for each in arguments.times_format}
    if arguments.vtt_words and ".vtt" not in kinds:
        parser.error("--vtt_words needs --times FILE.vtt or --times_format vtt")


def times_of(arguments: argparse.Namespace) -> TimesFiles:
    """Return the files that the flags of `add_times_flags` ask for.

    Raises:
        OutputError: a file cannot be written, or exists.
    """
    from models.inference.output_files import require_writable
    from models.inference.times_files import TimesFiles

    require_writable(arguments.times, overwrite=arguments.overwrite)
    return TimesFiles(tuple(arguments.times), tuple(arguments.times_format), arguments.vtt_words)


def prosody_of(arguments: argparse.Namespace) -> Prosody:
    """Return the prosody that the flags of `add_prosody_flags` ask for, but for `--prosody_from`.

    Raises:
        SynthesisError: a value is out of range, or a file cannot be read.
    """
    from models.inference.prosody_file import prosody_from_flags
    from models.inference.symbol_prosody import require_plausible

    prosody = prosody_from_flags(vars(arguments))
    require_plausible(prosody)
    return prosody


def add_vocoder_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change how a vocoder sounds."""
    parser.add_argument(
        "--sigma",
        type=float,
        metavar="X",
        help="spread of the noise that a WaveGlow makes waveforms from, 0 to 2; the vocoder's own unless given",
    )
    parser.add_argument(
        "--denoising_strength",
        type=float,
        default=0.0,
        metavar="X",
        help="share of the vocoder's constant sound that is subtracted, such as 0.01; 0 for none",
    )


def opening_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments for opening a voice or a vocoder that its flags give."""
    names = (
        "precision",
        "sentence_pause_s",
        "paragraph_pause_s",
        "reference_audio",
        "lexicon",
        "sigma",
        "denoising_strength",
    )
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def add_voice_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the vocoder, and of how a voice speaks every text."""
    add = parser.add_argument
    add(
        "--vocoder_dir",
        "--hifigan",
        "--waveglow",
        metavar="DIR",
        help="the vocoder: an experiment, a checkpoint or a bundle, a folder with an original "
        f"{describe_published('vocoder')}, or griffin_lim; the voice's own or the shipped one unless given",
    )
    parser.add_argument(
        "--sentence_pause_s",
        type=float,
        metavar="S",
        help="least pause between sentences, in seconds; 0.35 unless given",
    )
    parser.add_argument(
        "--paragraph_pause_s",
        type=float,
        metavar="S",
        help="least pause between paragraphs, which blank lines separate, in seconds; 0.75 unless given",
    )
    parser.add_argument(
        "--reference_audio",
        metavar="FILE",
        help="a recording of any text, whose manner of speaking is taken over; for a DelightfulTTS",
    )
    parser.add_argument(
        "--lexicon",
        metavar="FILE",
        help="pronunciations over those of the voice: on each line a word and its phones in ARPAbet, IPA as in "
        '/təˈmɑtoʊ/, or other words as in "tomayto"',
    )
    add_vocoder_flags(parser)


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a device and its arithmetic."""
    precision_help = "arithmetic of decoder and vocoder; the fastest of the device, of fp32 and bf16, unless given"
    parser.add_argument("--precision", choices=PRECISIONS, help=f"{precision_help}; fp16 needs a GPU")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--gpu", metavar="LIST", help='the GPU to use, as in "1"; "" for the CPU; the first unless given')
    add("--device", type=device_name, metavar="NAME", help="the same in torch's words: cpu, cuda, or such as cuda:1")


def device_name(text: str) -> str:
    """Return the value of `--device`, or refuse what is no device."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text}: expected cpu, cuda or, for one of several GPUs, such as cuda:1")
    return text


class _FileOfTexts(argparse.Action):
    """A file of texts, which chooses `--infer_mode batch`, too."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: object = None) -> None:
        namespace.infer_mode, namespace.infer_text = "batch", values


class _Answered(argparse.Action):
    """A flag without effect, answered by a line that says what replaces it."""

    def __call__(self, parser: object, namespace: object, values: object, option: str | None = None) -> None:
        print(f"{(option or '').replace('_', '-')}: {self.const}", flush=True)


def add_nvidia_flags(parser: argparse.ArgumentParser) -> None:
    """Accept flags of `inference.py` of NVIDIA's FastPitch; those without effect say what replaces them."""
    add, hidden = parser.add_argument, argparse.SUPPRESS
    add("--input", "-i", metavar="FILE", dest="infer_text", action=_FileOfTexts, help="a file of texts, as for batch")
    for answers, n_values in ((NVIDIA_SWITCHES, 0), (NVIDIA_FLAGS, None)):
        for flag, answer in answers.items():
            add(f"--{flag}", action=_Answered, nargs=n_values, const=answer, default=hidden, help=hidden)


def add_metric_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose metrics and what they need besides the speech."""
    add = parser.add_argument
    add(
        "--texts",
        metavar="FILE",
        help="what was to be spoken, for word errors: a manifest of stage 1, metadata.csv, or lines `name|text`",
    )
    add("--language", default="en", metavar="CODE", help="of the texts, where they are not in a manifest")
    add(
        "--whisper_model",
        metavar="DIR|NAME",
        help="for word errors: a Whisper model in CTranslate2's format, or a name to download; base.en for English and "
        "the multilingual base for other languages unless given",
    )
    add(
        "--transcriber",
        metavar="FILE.py:NAME",
        help="for word errors, in place of Whisper: a function from a waveform at 16 kHz and a language to its words",
    )
    add(
        "--speaker_encoder",
        default="statistics",
        metavar="FILE.onnx|NAME",
        help="for the speaker's similarity: statistics, resemblyzer, or a network from waveforms at 16 kHz to vectors",
    )
    add(
        "--metrics",
        metavar="NAMES",
        help='compute these alone, as in "mcd pesq wer" or mcd,pesq; all that can be unless given',
    )
    add("--list_metrics", action="store_true", help="print the table of all metrics, and end")


def check_dump_folder(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse, as wrong usage, a `--dump_folder` that is a file."""
    if arguments.dump_folder and Path(arguments.dump_folder).is_file():
        parser.error(f"--dump_folder {arguments.dump_folder}: is a file; name a folder, which is made")


def metrics_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of `--metrics`; none for all."""
    return tuple(re.findall(r"[^,\s]+", arguments.metrics or ""))


def yardsticks_of(arguments: argparse.Namespace, texts: Mapping[str, Text]) -> Yardsticks:
    """Return what the flags of `add_metric_flags` ask for.

    Args:
        arguments: of the command.
        texts: in place of those of `--texts`, where that is not given.

    Raises:
        RecitalError: the texts, the encoder or the transcriber cannot be opened.
    """
    from processors.evaluation.evaluate_folders import Yardsticks
    from processors.evaluation.texts import read_texts
    from processors.speakers.speaker_encoders import open_speaker_encoder

    metrics = metrics_of(arguments)
    if arguments.texts:
        texts = read_texts(Path(arguments.texts), arguments.language)
    needs_words = not metrics or bool({"wer", "cer"} & set(metrics))
    transcriber = _transcriber(arguments, texts, is_asked=bool(metrics)) if texts and needs_words else None
    encoder = Path(arguments.speaker_encoder)
    return Yardsticks(
        metrics, texts, transcriber, open_speaker_encoder(str(encoder.absolute() if encoder.is_file() else encoder))
    )


def _transcriber(arguments: argparse.Namespace, texts: Mapping[str, Text], *, is_asked: bool) -> Transcribes | None:
    from models.inference.prosody_file import load_function
    from processors.evaluation.measures.word_errors import PACKAGES
    from processors.evaluation.packages import are_installed
    from processors.evaluation.transcriber import Transcriber, TranscriberFunction, TranscriptionError, default_model
    from utils.console import warn

    if arguments.transcriber:
        return TranscriberFunction(load_function(arguments.transcriber))
    if arguments.whisper_model:
        return Transcriber(arguments.whisper_model)
    if not is_asked and not are_installed(PACKAGES):
        return None
    try:
        return Transcriber(default_model(each.language for each in texts.values()))
    except TranscriptionError as error:
        if is_asked:
            raise
        warn(f"no word errors: {error}")
        return None
