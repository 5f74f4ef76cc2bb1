"""The page of an evaluation: means, the worst recordings with pictures and players side by side, and all figures."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from processors.audio.audio_file import audio_info, read_audio, to_int16
from processors.evaluation.evaluate_folders import Evaluated, Evaluation
from processors.evaluation.evaluation_tables import LEGEND, compared_rows, short
from processors.evaluation.metric import Metric
from processors.evaluation.pair import HOP_SIZE, RATE, Pair
from processors.reports.report_page import VIEWPORT, html_document, wav_bytes
from processors.reports.speech_pictures import mel_panel
from utils.pictures import draw, png

_N_WORST, _N_OTHERS = 10, 6
_RECORDING = "recording"


def page(evaluation: Evaluation, title: str) -> str:
    """Return the page as self-contained HTML.

    The worst recordings of the first system come first: by the mean, over the metrics, of their rank. Some others,
    evenly from the rest, follow, to compare with.
    """
    first = next(iter(evaluation.systems.values()))
    order = ranked(first, evaluation.metrics)
    rest = order[_N_WORST:]
    chosen = np.linspace(0, len(rest) - 1, min(_N_OTHERS, len(rest))).round().astype(int)
    shown = [(f"Worst {min(_N_WORST, len(order))}", order[:_N_WORST]), ("Others", [rest[place] for place in chosen])]
    parts = [f"<h1>{_text(title)}</h1>", *(_note(note) for note in evaluation.notes)]
    parts += [*_means(evaluation)]
    for heading, names in shown:
        if names:
            parts.append(f"<h2>{heading}</h2>")
            parts += [_card(evaluation, name, order.index(name) + 1, len(order)) for name in names]
    parts += [*_all_figures(evaluation, order)]
    return html_document(title, "\n".join(parts), _STYLE, script=_SCRIPT, head=[VIEWPORT])


def ranked(evaluated: Evaluated, metrics: Sequence[Metric]) -> list[str]:
    """Return the recordings from the worst to the best, by the mean of their ranks in each metric with a direction.

    A rank is between 0, the worst, and 1; a recording without any figure is the worst.
    """
    ranks: dict[str, list[float]] = {name: [] for name in evaluated.figures}
    for metric in metrics:
        names = evaluated.names(metric.name)
        if metric.better == "near" or len(names) < 2:
            continue
        values = np.array([evaluated.figures[name][metric.name].value for name in names])
        values = values if metric.better == "more" else -values
        below = (values[:, None] > values).sum(axis=1) + 0.5 * ((values[:, None] == values).sum(axis=1) - 1)
        for name, rank in zip(names, below / (len(names) - 1), strict=True):
            ranks[name].append(float(rank))
    return sorted(ranks, key=lambda name: (float(np.mean(ranks[name])) if ranks[name] else -1.0, name))


def _note(note: str) -> str:
    """Return a note, what is in brackets folded away."""
    short_note, _, details = note.rstrip(")").partition(" (")
    return f'<details class="note"><summary>{_text(short_note)}</summary>{_text(details)}</details>'


def _means(evaluation: Evaluation) -> Iterator[str]:
    meanings = {metric.name: metric.meaning for metric in evaluation.metrics}
    header, rows = compared_rows(evaluation)
    yield "<h2>Means</h2>"
    several = f" {LEGEND}" if len(evaluation.systems) > 1 else ""
    counts = {len(each.figures) for each in evaluation.systems.values()}
    yield f"<p>Over {max(counts)} recordings, ± half the width of the 95 % bootstrap interval.{_text(several)}</p>"
    yield '<div class="wide"><table class="means">'
    yield _row("th", header)
    for name, *values in rows:
        meaning = f"<small>{_text(meanings[name.split(' ')[0]])}</small>"
        yield f"<tr><td>{_text(name)}{meaning}</td>{''.join(map(_marked, values))}</tr>"
    yield "</table></div>"


def _card(evaluation: Evaluation, name: str, place: int, total: int) -> str:
    sounds: dict[str, Path] = {_RECORDING: evaluation.references[name]} if evaluation.references else {}
    sounds |= {system: each.files[name] for system, each in evaluation.systems.items()}
    if evaluation.reference_dir is not None:  # where it is a system too, one player is enough
        sounds = {key: path for key, path in sounds.items() if key == _RECORDING or path != evaluation.references[name]}
    cells = []
    for system, path in sounds.items():
        player = f'<audio controls preload="none" src="{_sound(path)}"></audio>'
        of_path = [each for each in evaluation.systems.values() if each.files[name] == path]
        said = of_path[0].transcripts.get(name, "") if of_path else ""
        transcribed = f'<div class="said">transcript: {_text(said)}</div>' if said else ""
        cells.append(f'<div class="player"><div class="system">{_text(system)}</div>{player}{transcribed}</div>')
    text = evaluation.texts.get(name, "")
    return (
        f'<section class="card"><h3>{_text(name)} <small>{place} of {total}</small></h3>'
        + (f'<p class="text">{_text(text)}</p>' if text else "")
        + f'<div class="players">{"".join(cells)}</div>'
        + f'<img loading="lazy" alt="mel and F0 of {_text(name)}" src="{_picture(sounds)}">'
        + "".join(_figures(evaluation, name))
        + "</section>"
    )


def _figures(evaluation: Evaluation, name: str) -> Iterator[str]:
    for system, each in evaluation.systems.items():
        found = each.figures[name]
        values = "".join(
            f"<span><b>{metric.name}</b> {short(found[metric.name].value)} {metric.unit}</span>"
            for metric in evaluation.metrics
            if metric.name in found
        )
        label = f"<em>{_text(system)}</em>" if len(evaluation.systems) > 1 else ""
        yield f'<p class="figures">{label}{values or "silent, without figures"}</p>'


def _all_figures(evaluation: Evaluation, order: Sequence[str]) -> Iterator[str]:
    yield "<h2>All recordings</h2><p>A click on a column's name sorts by it.</p>"
    names = [metric.name for metric in evaluation.metrics]
    names = [name for name in names if any(each.names(name) for each in evaluation.systems.values())]
    several = len(evaluation.systems) > 1
    yield '<div class="wide"><table class="all"><thead>'
    yield _row("th", ["recording", *(["system"] if several else []), *names])
    yield "</thead><tbody>"
    for name in order:
        for system, each in evaluation.systems.items():
            found = each.figures[name]
            values = [short(found[metric].value) if metric in found else "" for metric in names]
            yield _row("td", [name, *([system] if several else []), *values])
    yield "</tbody></table></div>"


def _row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{_text(value)}</{cell}>" for value in values) + "</tr>"


def _marked(value: str) -> str:
    kind = {"+": "better", "-": "worse"}.get(value[-2:].strip(), "")
    return f'<td class="{kind}">{_text(value)}</td>'


def _sound(path: Path) -> str:
    rate = audio_info(path).sample_rate
    return _data("audio/wav", wav_bytes(to_int16(_samples(path, rate)), rate))


def _samples(path: Path, rate: int) -> np.ndarray:
    try:
        return read_audio(path, rate)
    except ValueError:  # silent
        return np.zeros(audio_info(path).samples * rate // audio_info(path).sample_rate, dtype=np.float32)


def _picture(sounds: Mapping[str, Path]) -> str:
    panels = []
    for system, path in sounds.items():
        pair = Pair(None, _samples(path, RATE), RATE)
        if pair.mel is not None:
            panels.append(
                mel_panel(pair.mel.T, seconds_per_frame=HOP_SIZE / RATE, f0_hz=pair.f0_hz[1], title=system, height=0.8)
            )
    return _data("image/png", png(draw(panels))) if panels else ""


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _text(text: str) -> str:
    return html.escape(text)


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #f6f7f9; max-width: 1080px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; overflow-wrap: anywhere; } h2 { font-size: 1.2em; margin-top: 2em; }
h3 { font-size: 1em; margin: 0; } small { color: #777; font-weight: normal; margin-left: .5em; }
.note { background: #fff6dd; border-left: 4px solid #e09f3e; padding: .4em .8em; overflow-wrap: anywhere; }
.wide { overflow: auto; max-height: 80vh; background: #fff; border: 1px solid #dde; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25em .8em; border-bottom: 1px solid #eee; white-space: nowrap; }
.means td:first-child { white-space: normal; min-width: 11em; } .means small { display: block; margin: 0; }
.better { color: #1b7f4d; } .worse { color: #b3263d; } summary { cursor: pointer; }
thead th { cursor: pointer; } th { font-weight: 600; color: #555; background: #fafbfc; position: sticky; top: 0; }
.all td:not(:first-child) { text-align: right; } .all { font-size: 13px; }
.card { background: #fff; border: 1px solid #dde; border-radius: 6px; padding: 1em; margin: 1em 0; }
.text { margin: .2em 0 .6em; font-size: 1.1em; }
.players { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: .8em; margin: .6em 0; }
.system { font-weight: 600; color: #1f6fb4; } .said { font-size: 13px; color: #666; }
audio { width: 100%; height: 40px; } img { max-width: 100%; height: auto; }
.figures { font-size: 13px; margin: .4em 0 0; display: flex; flex-wrap: wrap; gap: .1em 1.1em; }
.figures b { font-weight: 500; color: #666; } .figures em { color: #1f6fb4; font-style: normal; font-weight: 600; }
"""
_SCRIPT = """
document.addEventListener("play", event => document.querySelectorAll("audio").forEach(
  audio => { if (audio !== event.target) audio.pause(); }), true);
document.querySelectorAll(".all thead th").forEach((head, column) => head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], sign = head.dataset.sign = head.dataset.sign === "1" ? -1 : 1;
  const value = row => row.cells[column].textContent;
  [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)], numbers = [parseFloat(x), parseFloat(y)];
    if (column === 0 || numbers.some(isNaN)) return sign * x.localeCompare(y);
    return sign * (numbers[0] - numbers[1]);
  }).forEach(row => body.append(row));
}));
"""
