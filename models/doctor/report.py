"""Report of an examination: as text with the faults at its end, or as JSON."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence

from models.doctor.checks import Examined
from models.doctor.finding import Subject
from utils.version import VERSION


def lines(found: Sequence[Examined], subject: Subject) -> Iterator[str]:
    """Yield all findings by topic, the faults again with a command for each, or else the next step."""
    for topic, group in itertools.groupby(found, lambda each: each.topic):
        yield topic
        for each in group:
            mark = "!" if each.finding.is_fault else " "
            yield f"  {mark} {_indented(each.finding.text, 4)}"
    faults = [each.finding for each in found if each.finding.is_fault]
    yield ""
    yield "what is wrong" if faults else "nothing is wrong"
    for number, fault in enumerate(faults, start=1):
        yield f"  {number}. {_indented(fault.text, 5)}"
        yield f"     next: {fault.command}"
    if not faults:
        yield f"next: {next_step(subject)}"


def as_json(found: Sequence[Examined], subject: Subject) -> str:
    """Return the findings as JSON, the next command of each fault, and the next step where there is no fault."""
    faults = [each for each in found if each.finding.is_fault]
    tree = {
        "recital": VERSION,
        "is_healthy": not faults,
        "findings": [
            {
                "topic": each.topic,
                "text": each.finding.text,
                "is_fault": each.finding.is_fault,
                "next": each.finding.command,
            }
            for each in found
        ],
        "next": faults[0].finding.command if faults else next_step(subject),
    }
    return json.dumps(tree, indent=2, ensure_ascii=False)


def next_step(subject: Subject) -> str:
    """Return the command that comes next where nothing is wrong."""
    if subject.settings is None and not subject.model:
        return "sh egs/tts/FastSpeech2/run.sh --demo"
    from models.bundles.locate import find_bundle
    from utils.checkpoint import CheckpointFolder, step_of

    if subject.model:
        return _use(subject, find_bundle(subject.model).settings.model_type, "--infer_expt_dir", subject.model)
    settings = subject.known_settings
    processed_dir = settings.preprocess.processed_path
    if not all((processed_dir / dataset / "train.jsonl").is_file() for dataset in settings.dataset):
        return subject.call("bins.preprocess")
    experiments = subject.experiments()
    name = subject.name or (experiments[-1].name if experiments else "my_first")
    folders = CheckpointFolder(settings.log_path / name / "checkpoint").folders()
    if not folders or step_of(folders[-1]) < settings.train.max_steps:
        return subject.call("bins.train", "--name", name)
    return _use(subject, settings.model_type, "--name", name)


def _use(subject: Subject, model_type: str, *named: str) -> str:
    """Return the call of stage 3 for a model, named by flags."""
    from models.registry import kind_of
    from models.runs.next_step import COMMANDS

    kind = kind_of(model_type)
    return subject.call(COMMANDS[kind], *named, *(("--infer_text", "Hello.") if kind == "acoustic" else ()))


def _indented(text: str, width: int) -> str:
    return ("\n" + " " * width).join(text.splitlines())
