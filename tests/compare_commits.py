"""Bit-equality of what two commits make: speech, vocoded mels, features, trained weights.

    python tests/compare_commits.py --before REV --after REV
    python tests/compare_commits.py --before REV --after "$(git stash create)"  # of changes not yet committed

The files of each commit are unpacked into a folder of their own and driven through the commands alone, in fp32 on one
thread; the outputs stay there for the next comparison and are read here without any module of the project. With
--old-experiment each commit also goes on with a copy of what the first one made: stage 1 again, which must make
nothing new, a sentence from the trained bundles, and five more steps of each training.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MAX_SHOWN = 5  # lines of a kind
STEPS, MORE_STEPS = 50, 5

# What is run: {in} is the folder of inputs, {out} that of a part's outputs, both relative to the root of the code, so
# that settings read alike in both commits; {golden} holds the reference values.
_STAGE_1 = "preprocess --config {in}/%s.json --num_workers 1 --set preprocess.processed_dir={out}/features"
_STAGE_2 = "train --config {in}/%s.json --gpu '' --name voice --set preprocess.processed_dir={out}/features"
_STAGE_2 += " --set log_dir={out}/log"
_UNALIGNED = " --set preprocess.textgrid_dir="
_SPEAK = "synthesize --config {in}/fastspeech2.json --gpu '' --infer_output_dir {out}/spoken"
_VOCODE = "vocode --config {in}/hifigan.json --gpu '' --infer_mode infer_from_feature --infer_feature_dir {in}/mels"
PARTS = {
    "speech": [_SPEAK + " --infer_expt_dir ckpts/tts/kathleen --infer_mode batch --infer_text {in}/sentences.txt"],
    "golden": [
        f"{_VOCODE} --infer_expt_dir {{golden}}/{name} --infer_output_dir {{out}}/{name}"
        for name in ("hifigan_v2", "hifigan_v3")
    ],
    "pocketsphinx": [_STAGE_1 % "fastspeech2" + _UNALIGNED],
    "aligner": [
        _STAGE_1 % "fastspeech2"
        + f"{_UNALIGNED} --set preprocess.alignment=learned --set preprocess.aligner_config={{in}}/aligner.json"
    ],
    "fastspeech2": [_STAGE_1 % "fastspeech2", _STAGE_2 % "fastspeech2"],
    "hifigan": [_STAGE_1 % "hifigan", _STAGE_2 % "hifigan"],
}
OLD = "old-experiment"
OLD_FROM = ("aligner", "fastspeech2", "hifigan")
_MORE = f" --resume_type resume --set train.max_steps={STEPS + MORE_STEPS}"
OLD_PART = [
    *(command.replace("{out}", f"{{out}}/{name}") for name in OLD_FROM for command in PARTS[name][:1]),
    _SPEAK + " --infer_expt_dir {out}/fastspeech2/log/voice --vocoder_dir {out}/hifigan/log/voice --infer_text 'Yes.'",
    *(_STAGE_2.replace("{out}", f"{{out}}/{name}") % name + _MORE for name in OLD_FROM[1:]),
    "train --config {in}/aligner.json --gpu '' --name model --set log_dir={out}/aligner/features/aligner"
    f" --set preprocess.processed_dir={{out}}/aligner/features/aligner/processed{_MORE}",
]

SENTENCES = """\
The lamp in the hall had been burning since noon.
Dr. Ames paid $14.50 for 3 tickets on May 21st, 1987.
Have you ever seen the harbour at half past five?
Stop! Nobody told me the bridge was closed.
"It was here," she said, "and now it is gone."
The name is spoken {K AE1 TH L IY0 N}, never otherwise.
We read the book, and then we read it again.
Wind the clock before the wind turns.
Rain fell from Monday to Wednesday; on Thursday, snow.
The train to St. Ives leaves at 10:45 a.m. from platform 2B.
Roughly 1,250,000 people, or 38.5 % of them, live by the river.
Who - if anyone - will feed the geese?
NASA and the BBC both called at 6 o'clock.
Zyglomorphic blossoms puzzled the quibbling vicar.
It weighs 12 kg, measures 3 ft by 2, and costs twice as much.
Yes.
Henry VIII had six wives (two of them were called Anne).
My number is 555-0142, but write to info@example.org instead.
Through the rough boughs, the ploughman coughed and thought.
When the last of the boats had been drawn up on the shingle and the nets hung out along the wall to dry, when the \
children had been called in one after another from the lanes and the windows above the square had begun to glow, when \
even the dogs had given up their quarrel over the fish heads behind the market and the only sound that was left came \
from the mill below the weir, then the old man would take his chair outside, fill his pipe without any hurry, and \
wait, as he had waited every evening for forty years, until the first star stood over the chapel roof.
"""


class CompareError(Exception):
    """What keeps two commits from being compared."""


def inputs(shared: Path) -> dict[str, bytes]:
    """Return the files that the commands read: recipes of trainings that take seconds, sentences and mels.

    Args:
        shared: the folder that holds `data/ljspeech_mini` and `golden`.
    """
    corpus, golden = shared / "data/ljspeech_mini", shared / "golden"
    preprocess = {"valid_size": 2, "test_size": 2, "max_bad_share": 1.0}
    train = {"precision": "fp32", "batch_size": 2, "max_steps": STEPS, "log_every_steps": 1, "num_workers": 0}
    train |= {"valid_every_steps": STEPS, "sample_every_steps": STEPS, "save_every_steps": STEPS // 2}
    network = {"hidden_size": 64, "encoder_layers": 2, "decoder_layers": 2, "conv_filter_size": 128}
    recipes: dict[str, dict[str, Any]] = {
        "fastspeech2": {
            "base_config": "config/fastspeech2_small.json",
            "preprocess": {**preprocess, "textgrid_dir": f"{corpus}/TextGrid/{{dataset}}"},
            "model": {**network, "predictor_filter_size": 64, "postnet_layers": 2, "postnet_filter_size": 64},
            "train": {**train, "num_workers": 1},
        },
        "hifigan": {
            "base_config": "config/hifigan_v2.json",
            "preprocess": preprocess,
            "model": {"upsample_initial_channel": 32, "discriminator_channel_divisor": 16},
            "train": {**train, "segment_size": 4096, "adversarial_start_step": STEPS // 2},
        },
        "aligner": {
            "base_config": "config/aligner.json",
            "preprocess": preprocess,
            "model": {"hidden_size": 64, "space_size": 32},
            "train": {**train, "warmup_steps": 10, "binarize_from_step": STEPS // 2},
        },
    }
    dataset = {"dataset": ["LJSpeech"], "dataset_path": {"LJSpeech": f"{corpus}/LJSpeech-1.1"}}
    files = {f"{name}.json": json.dumps({**dataset, **recipe}, indent=1).encode() for name, recipe in recipes.items()}
    files["sentences.txt"] = SENTENCES.encode()
    files["mels/recorded.npy"] = _as_npy(np.load(golden / "mel_LJ001-0002.npz")["mel"])
    for name in ("hifigan_v2", "hifigan_v3"):
        files[f"mels/{name}.npy"] = _as_npy(np.load(golden / name / "expected.npz")["mel"])
    return files


def _as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


class Commit:
    """One commit's files, and what its commands have made.

    Args:
        revision: anything that git resolves to a commit.
        work: the folder of all commits.
        shared: as for `inputs`.
    """

    def __init__(self, revision: str, work: Path, shared: Path) -> None:
        self.id = _git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
        self.folder = work / self.id
        self._golden, self._inputs = shared / "golden", inputs(shared)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not (self.folder / "code").is_dir():
                partial = self.folder / "code.partial"
                partial.mkdir(exist_ok=True)
                subprocess.run(["tar", "-x", "-C", partial], input=_git("archive", self.id), check=True)
                partial.rename(self.folder / "code")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Wait until no other comparison makes anything of this commit, and keep others waiting meanwhile."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def make(self, name: str, commands: Sequence[str], copies: Sequence[Path] = ()) -> Path:
        """Run commands, unless their outputs are there already, of the same commands and inputs; return the folder.

        Args:
            name: of the folder.
            commands: as in `PARTS`.
            copies: folders that are copied into it before.

        Raises:
            CompareError: a command failed.
        """
        folder, plan = self.folder / name, self.folder / f"{name}.plan"
        whole_plan = repr([*commands, self._golden, self._inputs])
        with self._locked():
            if not plan.exists() or plan.read_text() != whole_plan:
                started = time.monotonic()
                plan.unlink(missing_ok=True)
                self._make(folder, commands, copies)
                plan.write_text(whole_plan)
                print(f"{self.id[:8]}: made {name} in {time.monotonic() - started:.0f} s", file=sys.stderr)
        return folder

    def _make(self, folder: Path, commands: Sequence[str], copies: Sequence[Path]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for source in copies:
            shutil.copytree(source, folder / source.name)
        (folder / ".copied").touch()
        for path, content in self._inputs.items():
            (self.folder / "inputs" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "inputs" / path).write_bytes(content)
        for command in commands:
            self._run(command, {"{in}": "../inputs", "{out}": f"../{folder.name}", "{golden}": str(self._golden)})

    def _run(self, command: str, places: Mapping[str, str]) -> None:
        module, *arguments = shlex.split(command)
        for mark, place in places.items():
            arguments = [argument.replace(mark, place) for argument in arguments]
        one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        done = subprocess.run(
            [sys.executable, "-m", f"bins.{module}", *arguments],
            cwd=self.folder / "code",
            env={**os.environ, **one_thread, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            ending = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise CompareError(
                f"{self.id[:8]}: exit code {done.returncode} of bins.{module} {shlex.join(arguments)}\n    {ending}"
            )


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True)
    if done.returncode:
        raise CompareError(f"git {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout


Items = dict[tuple[str, str], "np.ndarray | bytes"]
"""Kind and name to value."""


def read_items(folder: Path, own: str = "") -> Items:
    """Read all that two commits must make alike from the files in a folder.

    Pictures, reports and TensorBoard's files are left out, as are speeds and times.

    Args:
        folder: outputs of a part.
        own: a path that differs between the commits, and is taken out of texts.
    """
    items: Items = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        values: Mapping[str, np.ndarray | bytes] = {}
        text = path.read_text().replace(own or "\0", "") if path.suffix in {".json", ".jsonl"} else ""
        if path.suffix in {".wav", ".TextGrid"}:
            items["waveforms" if path.suffix == ".wav" else "TextGrids", name] = path.read_bytes()
        elif path.name == "logbook.jsonl":
            lines = [json.loads(line) for line in text.splitlines()]
            kept = [{key: line[key] for key in line if not key.startswith("speed/")} for line in lines]
            kind, values = "logged values", dict(leaves(kept))
        elif path.suffix == ".jsonl":
            items["manifests", name] = text.encode()
        elif path.suffix == ".json":
            tree = json.loads(text)
            if path.name == "checkpoint.json":
                del tree["files"]  # sizes and checksums of what is compared itself
            kind, values = "values in JSON", dict(leaves(tree))
        elif path.suffix == ".safetensors" and path.parent.name != "features":
            from safetensors.numpy import load_file

            kind, values = "weights", load_file(path)
        elif path.name == "training_state.pt":
            import torch

            state = torch.load(path, map_location="cpu", weights_only=True)
            state.pop("watch", None)  # which warnings have been shown
            kind, values = "values of optimizers", dict(leaves(state))
        items |= {(kind, f"{name}: {key}"): value for key, value in values.items()}
        if path.name == "store_settings.json":
            store = path.parent.relative_to(folder).as_posix()
            items |= {("features", f"{store}: {key}"): value for key, value in read_store(path.parent).items()}
    return items


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, np.ndarray | bytes]]:
    """Yield the values of nested dicts and lists, each with its path: tensors as arrays, all else as text."""
    if isinstance(tree, Mapping | list | tuple):
        for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from leaves(value, f"{place}/{key}" if place else str(key))
    else:
        yield place, tree.numpy() if hasattr(tree, "numpy") else repr(tree).encode()


def read_store(folder: Path) -> dict[str, np.ndarray]:
    """Read a feature store: `<utterance>/<feature>` to its values, whatever shards hold them.

    Without `source`, marks of files by their times of change: stage 1 run again shows whether they still hold.
    """
    from safetensors.numpy import load

    values: dict[str, np.ndarray] = {}
    for path in sorted((folder / "features").glob("[0-9]*.safetensors")):
        raw = path.read_bytes()
        metadata = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
        ids, lengths, removed = (json.loads(metadata[key]) for key in ("ids", "lengths", "removed"))
        values = {key: value for key, value in values.items() if key.rpartition("/")[0] not in removed}
        for name, rows in load(raw).items():
            ends = np.cumsum(np.maximum(lengths[name], 0)).tolist()
            values |= {
                f"{id_}/{name}": rows[end - length : end]
                for id_, length, end in zip(ids, lengths[name], ends, strict=True)
                if length >= 0 and name != "source"
            }
    return values


def compare(before: Items, after: Items) -> tuple[list[str], list[str]]:
    """Return lines on what differs or is missing afterwards, and on what is new."""
    differences = {key: how_different(value, after.get(key)) for key, value in before.items()}
    wrong = [f"{kind}: {name} {difference}" for (kind, name), difference in differences.items() if difference]
    return wrong, [f"{kind}: {name} is new" for kind, name in after if (kind, name) not in before]


def how_different(before: np.ndarray | bytes, after: np.ndarray | bytes | None) -> str:
    """Return how two values differ; "" where they are the same to the bit."""
    if after is None:
        return "is missing"
    if isinstance(before, bytes) and isinstance(after, bytes):
        is_short = len(before) < 60 and len(after) < 60
        unequal = f"is {_shown(after)} instead of {_shown(before)}" if is_short else "differs"
        return "" if before == after else unequal
    if isinstance(before, bytes) or isinstance(after, bytes):
        return "is of another kind"
    if (before.dtype, before.shape) != (after.dtype, after.shape):
        return f"is {after.dtype} {after.shape} instead of {before.dtype} {before.shape}"
    if before.tobytes() == after.tobytes():
        return ""
    return f"differs by up to {np.abs(before.astype(np.float64) - after.astype(np.float64)).max():.3g}"


def _shown(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def made_again(folder: Path) -> list[str]:
    """Return lines on shards and TextGrids that are younger than the copy of an older commit's outputs."""
    copied = (folder / ".copied").stat().st_mtime_ns
    made = [path for name in OLD_FROM for path in (folder / name).rglob("*") if path.stat().st_mtime_ns > copied]
    made = [path for path in made if path.suffix == ".TextGrid" or path.match("features/*.safetensors")]
    return [f"stage 1 made anew: {path.relative_to(folder)}" for path in made]


def main(arguments: argparse.Namespace) -> int:
    chosen = arguments.only.split(",") if arguments.only else list(PARTS)
    if unknown := set(chosen) - {*PARTS}:
        raise CompareError(f"--only {', '.join(sorted(unknown))}: not among {', '.join(PARTS)}")
    places = arguments.work.resolve(), arguments.data.resolve()
    commits = [Commit(revision, *places) for revision in (arguments.before, arguments.after)]
    are_equal = [_report(name, PARTS[name], commits) for name in chosen]
    if arguments.old_experiment:
        are_equal.append(_report(OLD, OLD_PART, commits))
    return 0 if all(are_equal) else 1


def _report(part: str, commands: Sequence[str], commits: Sequence[Commit]) -> bool:
    """Make a part with both commits, compare it and print how; return whether it is equal."""
    first = commits[0]
    try:
        name, copies = part, []
        if part == OLD:
            name, copies = f"{OLD}-{first.id[:12]}", [first.make(name, PARTS[name]) for name in OLD_FROM]
        folders = [commit.make(name, commands, copies) for commit in commits]
    except CompareError as error:
        print(f"{part}: FAILED\n  {error}", flush=True)
        return False
    before, after = (read_items(folder, str(commit.folder)) for folder, commit in zip(folders, commits, strict=True))
    wrong, new = compare(before, after)
    if part == OLD:
        wrong += made_again(folders[1])
    counted = ", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, _ in before).items())
    print(f"{part}: {counted} {f'compared, {len(wrong)} DIFFER' if wrong else 'equal'}")
    shown: Counter[str] = Counter()
    for line in wrong + new:
        kind = line.partition(":")[0]
        shown[kind] += 1
        if shown[kind] <= MAX_SHOWN:
            print(f"  {line}")
    for kind, count in shown.items():
        if count > MAX_SHOWN:
            print(f"  {kind}: and {count - MAX_SHOWN} more")
    sys.stdout.flush()
    return not wrong


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--before", required=True, metavar="REV", help="the commit that is right by definition")
    add("--after", default="HEAD", metavar="REV", help="the commit to be compared; HEAD unless given")
    add("--data", type=Path, default=ROOT.parent / "shared", metavar="DIR", help="holds data/ljspeech_mini and golden")
    add("--work", type=Path, default=ROOT / "data/compare", metavar="DIR", help="keeps outputs, by commit")
    add("--only", metavar="A,B", help=f"some of {', '.join(PARTS)}; all unless given")
    add("--old-experiment", action="store_true", help="also go on with what the first commit made")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(_parser().parse_args()))
    except CompareError as error:
        sys.exit(f"error: {error}")
