"""The page of a training: its course, the speech of its checkpoints, and the next command."""

from __future__ import annotations

import base64
import html
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from models.runs.next_step import Call, next_steps
from models.runs.training_record import LOGBOOK_FILE, STALLED_S, Series, TrainingRecord
from models.runs.watched_samples import Samples, Sentence, Sound
from processors.evaluation.metrics import METRICS
from processors.reports.line_chart import SCRIPT, STYLE, Line, line_chart, short
from processors.reports.report_page import VIEWPORT, html_document
from utils.console import format_duration

_STATES = {"new": "not begun", "running": "running", "stopped": "stopped", "finished": "finished"}


@dataclass(frozen=True)
class PageOptions:
    """Options of the page.

    Attributes:
        call: how the experiment was named, for the next command.
        patience: validations without any improvement before the page warns.
        refresh_s: seconds between looks for a newer page; 0 for none.
    """

    call: Call
    patience: int
    refresh_s: float = 0.0


def training_page(record: TrainingRecord, samples: Samples, options: PageOptions, version: str = "") -> str:
    """Return the page as self-contained HTML.

    Args:
        record: of the experiment.
        samples: its pictures and sounds.
        options: see `PageOptions`.
        version: differs from that of every page with other content.
    """
    parts = [
        *_head(record),
        *(f'<p class="warning">{_text(warning)}</p>' for warning in _warnings(record, options.patience)),
        *_next(record, options.call),
        *_listen(record, samples),
        *_section("Losses", _losses(record), _improvements(record, options.patience)),
        *_section("Speech of the checkpoints", _evaluations(record)),
        *_section("Other measures of validation", _measures(record)),
        *_section("Optimization", _optimization(record)),
        *_pictures(samples),
        *_settings(record),
    ]
    return html_document(
        record.folder.name,
        "\n".join(parts),
        STYLE + _STYLE,
        script=SCRIPT + _SCRIPT,
        head=[VIEWPORT, '<meta name="color-scheme" content="light dark">', '<link rel="icon" href="data:,">'],
        attributes=f' data-refresh="{options.refresh_s}" data-version="{_text(version)}"',
    )


def _head(record: TrainingRecord) -> Iterator[str]:
    state = f'<span class="state {record.state}">{_STATES[record.state]}</span>'
    yield f"<header><h1>{_text(record.folder.name)} {state}</h1>"
    corpora = ", ".join(map(str, record.settings.get("dataset", ())))
    about = [record.model_type, corpora and f"on {corpora}", str(record.folder)]
    yield f'<p class="about">{_text(" · ".join(each for each in about if each))}</p>'
    if record.step:
        total = record.last_step
        share = min(record.step / total, 1.0) if total else 0.0
        of = f" of {total:,}" if total else ""
        facts = [f"<b>step {record.step:,}</b>{of}", f"epoch {record.epoch}"]
        if record.trained_s:
            facts.append(f"{format_duration(record.trained_s)} so far")
        if record.steps_per_s and record.state == "running":
            facts.append(f"{short(record.steps_per_s)} steps/s")
        if record.left_s is not None:
            at = time.localtime(time.time() + record.left_s)
            ends = time.strftime("%H:%M" if record.left_s < 43_200 else "%A %H:%M", at)
            facts.append(f"<b>{format_duration(record.left_s)} left</b>, until {ends}")
        if total:
            yield f'<div class="progress"><div style="width:{100 * share:.1f}%"></div></div>'
        yield f'<p class="facts">{" · ".join(facts)}</p>'
    yield "</header>"


def _warnings(record: TrainingRecord, patience: int) -> Iterator[str]:
    improvements = record.improvements()
    if improvements and (since := min(each.n_since for each in improvements)) >= patience:
        last = max(each.best_step for each in improvements)
        terms = ", ".join(each.term for each in improvements)
        yield (
            f"No term of the validation loss ({terms}) has improved for {since} validations, since step {last:,}: "
            "stop, unless the speech below still improves."
        )
    for name, series in record.series.items():
        if name.startswith("train/") and name.endswith("/loss"):
            bad = [step for step, value in zip(series.steps, series.values, strict=True) if value != value]
            if bad:
                yield f"{name} was NaN or infinite at step {bad[-1]:,}; see docs/troubleshooting.md."
    if record.state == "stopped" and record.step > record.resumes_from:
        yield (
            f"The newest checkpoint is of step {record.resumes_from:,}: the steps from there to {record.step:,} will "
            "be taken again."
        )
    try:
        silent_s = time.time() - (record.folder / LOGBOOK_FILE).stat().st_mtime
    except OSError:
        silent_s = 0.0
    if record.state == "running" and silent_s > STALLED_S:
        silence = format_duration(silent_s)
        yield f"No new line in the logbook for {silence}, although the training runs: is it suspended?"


def _next(record: TrainingRecord, call: Call) -> Iterator[str]:
    steps = next_steps(record, call)
    if not record.step:
        yield '<p class="empty">The logbook has no line yet: the first comes after train.log_every_steps.</p>'
    if steps:
        yield "<h2>Next</h2>"
    for step in steps:
        yield (
            f'<div class="next"><span>{_text(step.purpose)}</span><code>{_unbroken_flags(step.command)}</code>'
            '<button class="copy" title="copy the command">copy</button></div>'
        )


def _unbroken_flags(command: str) -> str:
    return re.sub(r"(?<= )--?\w+", lambda flag: f"<i>{flag[0]}</i>", _text(command))


def _section(heading: str, figures: Iterable[str], *further: str) -> Iterator[str]:
    charts = [figure for figure in figures if figure]
    if charts:
        yield f'<h2>{_text(heading)}</h2><div class="charts">'
        yield from charts
        yield "</div>"
        yield from further


def _line(label: str, series: Series, kind: str) -> Line:
    return Line(label, series.steps, series.values, kind)


def _losses(record: TrainingRecord) -> Iterator[str]:
    """Yield a chart per term: training and validation in one."""
    networks, valid = record.training or {"": {}}, record.terms("valid")
    by_split = {split: _without_alias(record.terms(split)) for split in ("valid", "test")}
    order = {term: number for number, term in enumerate(valid)}
    for number, (network, terms) in enumerate(networks.items()):
        names = sorted(terms, key=lambda term: (term != "loss", order.get(term, len(order))))
        if not number and not terms:
            names = list(valid)
        for term in names:
            lines = [_line("train", terms[term], "train")] if term in terms else []
            for split, measured in by_split.items():
                if not number and (found := measured.get(term)):
                    lines.append(_line(split, found, split))
            title = "total loss" if term == "loss" else term.replace("_", " ")
            yield line_chart(title, lines, note=network if number else "")


def _without_alias(terms: Mapping[str, Series]) -> dict[str, Series]:
    """Leave out a loss that is one of the terms, as that of vocoders: it is not the sum that training has."""
    return {name: of for name, of in terms.items() if name != "loss" or [*terms.values()].count(of) == 1}


def _improvements(record: TrainingRecord, patience: int) -> str:
    rows = [
        (
            f"<tr{' class=stale' if each.n_since >= patience else ''}><td>{_text(each.term)}</td>"
            f"<td>{short(each.latest)}</td><td>{short(each.best)}</td><td>{each.best_step:,}</td><td>{each.n_since}</td></tr>"
        )
        for each in record.improvements()
    ]
    if not rows:
        return ""
    head = "<tr><th>validation<th>latest<th>best<th>at step<th>validations since</tr>"
    return f'<div class="wide"><table class="numbers"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _evaluations(record: TrainingRecord) -> Iterator[str]:
    metrics = {metric.name: metric for metric in METRICS}
    for name, series in record.terms("evaluation").items():
        metric = metrics.get(name)
        note = ""
        if metric is not None:
            better = {"less": "lower is better", "more": "higher is better", "near": "near the recordings'"}
            note = " · ".join(each for each in (metric.unit, better[metric.better]) if each)
        yield line_chart(name, [_line("latest", series, "c0")], note=note)


def _measures(record: TrainingRecord) -> Iterator[str]:
    terms = next(iter(record.training.values()), {})
    test = record.terms("test")
    for name, series in record.terms("valid").items():
        if terms and name not in terms:
            lines = [_line("valid", series, "valid")]
            lines += [_line("test", test[name], "test")] if name in test else []
            yield line_chart(name.replace("_", " "), lines)


def _optimization(record: TrainingRecord) -> Iterator[str]:
    rates = record.terms("learning_rate")
    yield line_chart("learning rate", [_line(name, each, f"c{n % 5}") for n, (name, each) in enumerate(rates.items())])
    norms = record.terms("gradient_norm")
    for name in norms:
        if not name.endswith("_max"):
            lines = [_line("greatest", norms[f"{name}_max"], "train")] if f"{name}_max" in norms else []
            several = sum(not each.endswith("_max") for each in norms) > 1
            yield line_chart("gradient norm", [*lines, _line("mean", norms[name], "c0")], note=name if several else "")
    speed = record.terms("speed")
    for name, unit in (("steps_per_second", "steps/s"), ("frames_per_second", "frames/s"), ("peak_memory_gib", "GiB")):
        if name in speed:
            yield line_chart("memory" if unit == "GiB" else "speed", [_line(unit, speed[name], "c2")], note=unit)


def _listen(record: TrainingRecord, samples: Samples) -> Iterator[str]:
    if not samples.sentences:
        return
    steps = sorted({step for sentence in samples.sentences for step in sentence.by_step})
    scores = _scores(record, steps)
    yield f"<h2>Listen <small>{_text(samples.origin)}</small></h2>"
    yield '<div class="wide listen"><table><thead><tr><th></th>'
    if has_recordings := any(sentence.recording for sentence in samples.sentences):
        yield "<th>recording</th>"
    yield "".join(f"<th>step {step:,}{''.join(scores.get(step, ()))}</th>" for step in steps)
    yield "</tr></thead><tbody>"
    for sentence in samples.sentences:
        yield f'<tr><td class="sentence">{_titled(sentence)}<button class="all">play all</button></td>'
        if has_recordings:
            yield _player(sentence.recording)
        yield "".join(_player(sentence.by_step.get(step)) for step in steps) + "</tr>"
    yield "</tbody></table></div>"


def _scores(record: TrainingRecord, steps: Sequence[int]) -> dict[int, list[str]]:
    """Return the first figures of evaluated checkpoints, by step."""
    shown: dict[int, list[str]] = {}
    for name, series in islice(record.terms("evaluation").items(), 2):
        for step, value in zip(series.steps, series.values, strict=True):
            if step in steps:
                shown.setdefault(step, []).append(f"<small>{_text(name)} {short(value)}</small>")
    return shown


def _titled(sentence: Sentence) -> str:
    text = f"<q>{_text(sentence.text)}</q>" if sentence.text else ""
    return f"{text}<small>{_text(sentence.name or 'not in the corpus')}</small>"


def _player(sound: Sound | None) -> str:
    if sound is None:
        return "<td></td>"
    return (
        '<td><button class="play" aria-label="play"></button>'
        f'<audio preload="none" src="{_data(sound.media_type, sound.content)}"></audio></td>'
    )


def _pictures(samples: Samples) -> Iterator[str]:
    if not samples.pictures:
        return
    yield "<h2>Pictures <small>alignment of phones and mels, pitch, durations</small></h2>"
    order = sorted(samples.pictures, key=lambda name: (not name.endswith("alignment"), not name.endswith("mel")))
    for number, name in enumerate(order):
        picture = samples.pictures[name]
        opened = " open" if number == 0 else ""
        yield (
            f'<details class="picture" data-key="{_text(name)}"{opened}><summary>{_text(name)} <small>step '
            f'{picture.step:,}</small></summary><img alt="{_text(name)}" src="{_data("image/png", picture.content)}">'
            "</details>"
        )


def _settings(record: TrainingRecord) -> Iterator[str]:
    if not record.settings:
        return
    yield '<h2>Settings</h2><details data-key="settings"><summary>all settings of the experiment</summary>'
    yield f"<pre>{_text(json.dumps(record.settings, indent=2, ensure_ascii=False))}</pre></details>"
    for step, changed in record.changes:
        shown = "; ".join(f"{name}: {_pair(values)}" for name, values in changed.items())
        yield f"<p>from step {step:,} on: {_text(shown)}</p>"


def _pair(values: Sequence[object]) -> str:
    return " → ".join(map(str, values))


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _text(text: str) -> str:
    return html.escape(text)


_STYLE = """
:root { --page: #f5f6f9; --good: #1b7f4d; --bad: #b3263d; --note: #fff4d6; --note-edge: #e0a33e; --code: #f0f2f6; }
@media (prefers-color-scheme: dark) { :root { --page: #10141b; --good: #54c795; --bad: #ff8593; --note: #33290f;
  --note-edge: #b98526; --code: #222a36; } .picture img { filter: brightness(.88); } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1160px;
  margin: 0 auto; padding: 20px 16px 60px; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 34px 0 12px; }
small { color: var(--soft); font-weight: 400; font-size: 12px; }
.about { margin: 2px 0 14px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.state { font-size: 12px; font-weight: 600; padding: 3px 10px; border-radius: 99px; vertical-align: middle;
  background: var(--code); color: var(--soft); }
.state.running { background: var(--c0); color: var(--card); }
.state.finished { background: var(--good); color: var(--card); }
.state.stopped { background: var(--note-edge); color: #1d2530; }
.progress { height: 8px; border-radius: 4px; background: var(--edge); overflow: hidden; }
.progress div { height: 100%; background: var(--c0); border-radius: 4px; }
.facts { margin: 8px 0 0; font-variant-numeric: tabular-nums; }
.warning { background: var(--note); border-left: 4px solid var(--note-edge); border-radius: 4px; padding: 8px 14px;
  margin: 14px 0 0; }
.next { display: grid; grid-template-columns: 210px 1fr auto; gap: 4px 14px; align-items: center; margin: 0 0 6px;
  background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 8px 12px; }
.next span { color: var(--soft); font-size: 13px; }
code, pre { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; } code i { font-style: normal; white-space: nowrap; }
pre { overflow: auto; background: var(--code); border-radius: 8px; padding: 12px; }
button { font: 12px system-ui, sans-serif; color: var(--soft); background: var(--code); border: 1px solid var(--edge);
  border-radius: 6px; padding: 3px 9px; cursor: pointer; } button:hover { color: var(--ink); }
button:focus-visible, summary:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--edge); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { font-weight: 600; font-size: 12px; color: var(--soft); } th small { display: block; font-size: 11px; }
th, td { padding: 7px 12px; text-align: center; border-bottom: 1px solid var(--grid); }
tbody tr:last-child td { border-bottom: 0; }
.numbers { font-size: 13px; } .numbers td:first-child, .numbers th:first-child { text-align: left; }
.charts + .wide { margin-top: 14px; max-width: 640px; } .numbers th, .numbers td { text-align: right;
  } .stale td { color: var(--bad); }
.sentence { text-align: left; min-width: 200px; max-width: 420px; } .sentence q { quotes: none; display: block; }
.sentence small { margin-right: 10px; } .sentence .all { padding: 1px 7px; }
.play { width: 34px; height: 34px; border-radius: 50%; padding: 0; position: relative; vertical-align: middle;
  background: conic-gradient(var(--c0) calc(var(--at, 0) * 360deg), var(--edge) 0); border: 0; }
.play::before { content: ""; position: absolute; inset: 3px; border-radius: 50%; background: var(--card); }
.play::after { content: ""; position: absolute; left: 13px; top: 10px; border: solid transparent;
  border-width: 7px 0 7px 11px;
  border-left-color: var(--c0); }
.playing .play::after { left: 11px; top: 11px; width: 4px; height: 12px; border: solid var(--c0); border-width: 0 4px; }
.play:hover::before { background: var(--code); }
details { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 8px 14px;
  margin: 0 0 6px; }
summary { cursor: pointer; } .picture img { display: block; max-width: 100%; height: auto; margin-top: 8px;
  border-radius: 6px; }
.empty { color: var(--soft); }
@media (max-width: 640px) { .next { grid-template-columns: 1fr auto; } .next code { grid-column: 1; }
  .next span { grid-column: 1 / -1; } th, td { padding: 6px 8px; } .sentence { min-width: 150px; } }
"""
_SCRIPT = """
const sounds = [...document.querySelectorAll("audio")];
let queue = [];
const stop = () => sounds.forEach(each => { each.pause(); each.currentTime = 0; });
const next = () => { const sound = queue.shift(); if (sound) sound.play(); };
sounds.forEach(sound => {
  const cell = sound.parentElement, button = cell.querySelector(".play");
  button.addEventListener("click", () => {
    const plays = !sound.paused;
    queue = [];
    stop();
    if (!plays) sound.play();
  });
  sound.addEventListener("play", () => cell.classList.add("playing"));
  sound.addEventListener("pause", () => { cell.classList.remove("playing"); button.style.setProperty("--at", 0); });
  sound.addEventListener("ended", () => next());
  sound.addEventListener("timeupdate",
    () => button.style.setProperty("--at", sound.currentTime / (sound.duration || 1)));
});
document.querySelectorAll(".all").forEach(button => button.addEventListener("click", () => {
  stop();
  queue = [...button.closest("tr").querySelectorAll("audio")];
  next();
}));
document.querySelectorAll(".copy").forEach(button => button.addEventListener("click", async () => {
  const code = button.parentElement.querySelector("code");
  getSelection().selectAllChildren(code);
  try { await navigator.clipboard.writeText(code.textContent); } catch { document.execCommand("copy"); }
  button.textContent = "copied";
  setTimeout(() => button.textContent = "copy", 1500);
}));
const kept = key => `${location.pathname} ${key}`;
document.querySelectorAll("details[data-key]").forEach(each => {
  const before = sessionStorage.getItem(kept(each.dataset.key));
  if (before !== null) each.open = before === "1";
  each.addEventListener("toggle", () => sessionStorage.setItem(kept(each.dataset.key), each.open ? "1" : "0"));
});
const page = document.documentElement.dataset;
const isBusy = () => sounds.some(sound => !sound.paused) || !getSelection().isCollapsed;
if (+page.refresh) setInterval(async () => {
  if (isBusy()) return;
  if (!location.protocol.startsWith("http")) return location.reload();
  try {
    const answer = await fetch("version", { cache: "no-store" });
    if (answer.ok && await answer.text() !== page.version && !isBusy()) location.reload();
  } catch { /* the server has ended; what is shown stays */ }
}, 1000 * page.refresh);
"""
