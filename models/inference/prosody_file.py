"""Prosody from files: JSON, TextGrids, and functions of the user's."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from models.contracts import Change, NvidiaPitch, Prosody, RecordedProsody
from models.inference.symbol_prosody import SynthesisError
from processors.alignment.textgrid import read_textgrid
from utils.suggestions import did_you_mean

CUSTOM_TRANSFORM = "pitch_transform_custom"
"""The function's name in NVIDIA's `pitch_transform.py`."""
_CHANGES = tuple(each.name for each in fields(Change))
_OF_TEXT = (*_CHANGES, "words", "durations", "fade_out_ms", "peak_normalize")
_PLACES = ("index", "text", "span")
_SWITCHES = ("pitch_flatten", "pitch_invert", "peak_normalize")


def read_prosody(path: Path) -> Prosody:
    """Read prosody from a JSON file, or durations from a TextGrid (see `docs/controls.md`).

    Raises:
        SynthesisError: the file is missing or no such JSON; the key is named.
        AlignmentError: the TextGrid cannot be read.
    """
    if not path.is_file():
        raise SynthesisError(f"{path}: no such file; expected JSON or a TextGrid")
    if path.suffix.lower() == ".textgrid":
        return Prosody(recording=RecordedProsody(read_textgrid(path), str(path)))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SynthesisError(f"{path}: is no JSON: {error}") from None
    return prosody_from_json(found, str(path))


def prosody_from_json(found: object, where: str) -> Prosody:
    """Return the prosody of a JSON object.

    Args:
        found: as parsed.
        where: for messages.

    Raises:
        SynthesisError: a key or value is not as described in `docs/controls.md`.
    """
    values = _object(found, _OF_TEXT, where)
    words: dict[int, Change] = {}
    phones: dict[tuple[int, int], Change] = {}
    spans: list[tuple[tuple[int, int] | str, Change]] = []
    for number, each in enumerate(_list(values.pop("words", []), f"{where}: words")):
        at = f"{where}: words[{number}]"
        of_word = _object(each, (*_PLACES, "phones", *_CHANGES), at)
        place = [name for name in _PLACES if name in of_word]
        if len(place) != 1:
            raise SynthesisError(f"{at}: needs one of index, text and span")
        chosen, of_phones = of_word.pop(place[0]), _list(of_word.pop("phones", []), f"{at}: phones")
        change = Change(**_changes(of_word, at))
        if place == ["index"]:
            index = _integer(chosen, f"{at}: index")
            words[index] = words.get(index, Change()).then(change)
            for phone_number, phone in enumerate(of_phones):
                of_phone = _object(phone, ("index", *_CHANGES), f"{at}: phones[{phone_number}]")
                phone_index = _integer(of_phone.pop("index", None), f"{at}: phones[{phone_number}]: index")
                phones[index, phone_index] = Change(**_changes(of_phone, at))
            continue
        if of_phones:
            raise SynthesisError(f"{at}: phones need the index of their word")
        spans.append((_span(chosen, at), change))
    listed = _list(values.pop("durations", []), f"{where}: durations")
    durations = tuple(_duration(pair, where) for pair in listed)
    return Prosody(words=words, phones=phones, spans=tuple(spans), durations_ms=durations, **_changes(values, where))


def _object(found: object, known: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise SynthesisError(f"{where}: found {type(found).__name__}; expected an object")
    for key in found:
        if key not in known:
            raise SynthesisError(f"{where}: there is no {key}{did_you_mean(key, known)}; known: {', '.join(known)}")
    return dict(found)


def _list(found: object, where: str) -> list[Any]:
    if not isinstance(found, list):
        raise SynthesisError(f"{where}: found {type(found).__name__}; expected a list")
    return found


def _integer(found: object, where: str) -> int:
    if isinstance(found, bool) or not isinstance(found, int):
        raise SynthesisError(f"{where}: found {found!r}; expected a whole number")
    return found


def _span(found: object, where: str) -> tuple[int, int] | str:
    if isinstance(found, str):
        return found
    if isinstance(found, list) and len(found) == 2:
        return _integer(found[0], where), _integer(found[1], where)
    raise SynthesisError(f"{where}: found {found!r}; expected words of the text, or a span [start, stop]")


def _duration(found: object, where: str) -> tuple[str, float]:
    if isinstance(found, list) and len(found) == 2:
        symbol, milliseconds = found
        if isinstance(symbol, str) and isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool):
            return symbol, float(milliseconds)
    raise SynthesisError(f"{where}: durations: found {found!r}; expected pairs of a symbol and milliseconds")


def _changes(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name, value in values.items():
        expected = bool if name in _SWITCHES else int | float
        if not isinstance(value, expected) or isinstance(value, bool) != (name in _SWITCHES):
            wanted = "true or false" if name in _SWITCHES else "a number"
            raise SynthesisError(f"{where}: {name}: found {value!r}; expected {wanted}")
    return dict(values)


def load_function(place: str, default: str = "") -> Callable[..., Any]:
    """Load a function from a Python file, which is executed.

    Args:
        place: `FILE.py:NAME`.
        default: the name where none is given; empty if one is required.

    Raises:
        SynthesisError: the file or function is missing or fails; so does each call that fails.
    """
    file, colon, name = place.rpartition(":")
    if not colon or (name.endswith(".py") and not file.endswith(".py")):
        file, name = place, default
    if not name:
        raise SynthesisError(f"{place}: expected FILE.py:NAME")
    path = Path(file)
    if not path.is_file():
        raise SynthesisError(f"{file}: no such file; expected a Python file with the function {name}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SynthesisError(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SynthesisError(f"{file}: fails: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise SynthesisError(f"{file}: has no function {name}")

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise SynthesisError(f"{file}: {name} fails: {type(error).__name__}: {error}") from error

    return call


def prosody_from_flags(flags: Mapping[str, Any]) -> Prosody:
    """Return the prosody that the flags of `bins.synthesize` ask for, together with that of their file.

    Args:
        flags: their values; None where a flag was not given.

    Raises:
        SynthesisError: a file cannot be used.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    prosody = read_prosody(Path(given["prosody"])) if "prosody" in given else Prosody()
    aliases = {f"{name}_control": name for name in ("duration", "pitch", "energy")}
    values = {aliases.get(name, name): value for name, value in given.items()}
    of_flags = Prosody(
        **{name: values[name] for name in (*_CHANGES, "fade_out_ms", "peak_normalize") if name in values}
    )
    if "pitch_function" in given:
        of_flags = replace(of_flags, pitch_function=load_function(given["pitch_function"]))
    return replace(prosody.combined(of_flags), nvidia_pitch=_nvidia_pitch(given))


def _nvidia_pitch(given: Mapping[str, Any]) -> NvidiaPitch | None:
    prefix = "pitch_transform_"
    names = [name for name, value in given.items() if name.startswith(prefix) and value not in (False, None)]
    if not names:
        return None
    custom = given.get(f"{prefix}custom")
    return NvidiaPitch(
        flatten=f"{prefix}flatten" in names,
        invert=f"{prefix}invert" in names,
        amplify=given.get(f"{prefix}amplify", 1.0),
        shift_hz=given.get(f"{prefix}shift", 0.0),
        custom=None if custom is None else load_function(custom, CUSTOM_TRANSFORM),
    )
