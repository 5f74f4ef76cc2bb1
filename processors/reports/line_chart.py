"""Line charts as inline SVG for self-contained pages: light and dark, with a readout under the pointer."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

_WIDTH, _HEIGHT = 480, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 10, 24
_MOST_POINTS = 240
"""More are averaged; a chart has few more pixels than that."""
_LOG_FROM = 12.0
"""Ratio of the greatest to the least value from which the axis is logarithmic."""
_FEW = 40


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        label: for the legend.
        steps: ascending.
        values: NaN leaves a gap.
        kind: its colour, a class of `STYLE`: `train`, `valid`, `test`, or `c0` to `c4`.
    """

    label: str
    steps: Sequence[int]
    values: Sequence[float]
    kind: str


def line_chart(title: str, lines: Sequence[Line], *, note: str = "") -> str:
    """Return a figure of lines over steps; empty if they have no finite value.

    Args:
        title: above it.
        lines: drawn in their order, the last one on top.
        note: beside the title, such as a unit.
    """
    shown = [(line, *_averaged(line)) for line in lines]
    values = np.concatenate([[], *(each for _, _, each in shown)])
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    scale = _Scale(values)
    last = max(int(steps[-1]) for _, steps, _ in shown if len(steps))
    first = min(int(steps[0]) for _, steps, _ in shown if len(steps))
    first = 0 if first < 0.2 * last else first

    def across(step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (step - first) / max(last - first, 1)

    parts, data, legend = list(_axes(scale, across, first, last)), [], []
    for line, steps, found in shown:
        points = [(across(step), scale.down(value), step, value) for step, value in zip(steps, found, strict=True)]
        parts += _drawn(line, points)
        data.append(
            [
                line.label,
                line.kind,
                [[round(x, 1), round(y, 1), int(step), short(v)] for x, y, step, v in points if v == v],
            ]
        )
        if len(points):
            legend.append(f'<span class="{line.kind}">{html.escape(line.label)} <b>{short(points[-1][3])}</b></span>')
    described = f"{title}: " + ", ".join(f"{line.label} {short(found[-1])}" for line, _, found in shown if len(found))
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<figure class="chart"><figcaption><h3>{html.escape(title)} <small>{html.escape(note)}</small></h3>'
        f"<div>{''.join(legend)}</div></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(described)}">{"".join(parts)}'
        f'<g class="readout"></g></svg><div class="tip" hidden></div>'
        f'<script type="application/json">{content}</script></figure>'
    )


def short(value: float) -> str:
    """Return a number with the digits that a chart needs."""
    if not math.isfinite(value):
        return "–"
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class _Scale:
    """The vertical axis: from values to places, linear or logarithmic."""

    def __init__(self, values: np.ndarray) -> None:
        low, high = float(values.min()), float(values.max())
        self.is_log = low > 0 and high / low > _LOG_FROM
        if self.is_log:
            low, high = math.log10(low), math.log10(high)
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        self._low, self._high = low - margin, high + margin
        if low >= 0 > self._low and not self.is_log:
            self._low = 0.0

    def down(self, value: float) -> float:
        """Return the place of a value, from the top."""
        if not math.isfinite(value):
            return math.nan
        place = math.log10(value) if self.is_log else value
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self._high - place) / (self._high - self._low)

    def ticks(self) -> list[float]:
        """Return round values within the axis."""
        if not self.is_log:
            return _round_values(self._low, self._high, 5)
        decades = range(math.floor(self._low), math.ceil(self._high) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**decade for decade in decades for digit in digits]
            found = [value for value in found if self._low <= math.log10(value) <= self._high]
            if len(found) <= 6:
                return found
        return found[:: -(-len(found) // 6)]


def _round_values(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [number * gap for number in range(math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9) + 1)]


def _averaged(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `_MOST_POINTS` steps and values, means of neighbours."""
    steps, values = np.asarray(line.steps, dtype=np.int64), np.asarray(line.values, dtype=np.float64)
    if len(steps) <= _MOST_POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), _MOST_POINTS)
    return np.array([steps[part[-1]] for part in parts]), np.array([values[part].mean() for part in parts])


def _axes(scale: _Scale, across, first: int, last: int) -> Iterator[str]:  # type: ignore[no-untyped-def]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value in scale.ticks():
        y = scale.down(value)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/><text x="{_LEFT - 6}" y="{y + 3.5:.1f}" class="left">'
        yield f"{_tick(value)}</text>"
    yield f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>'
    if scale.is_log:
        yield f'<text x="{_LEFT + 4}" y="{bottom - 6}">log scale</text>'
    for step in _round_values(first, max(last, first + 1), 6):
        if step == int(step):
            yield f'<text x="{across(step):.1f}" y="{_HEIGHT - 7}" class="below">{_tick(step)}</text>'


def _tick(value: float) -> str:
    value = round(value, 12)
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}" if not value or abs(value) >= 1e-3 else short(value)


def _drawn(line: Line, points: Sequence[tuple[float, float, float, float]]) -> Iterator[str]:
    for is_gap, group in groupby(points, key=lambda point: math.isnan(point[1])):
        piece = list(group)
        if is_gap:
            continue
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y, *_ in piece)
        yield f'<path class="line {line.kind}" d="M{path}"/>'
        if line.kind != "train" and len(points) <= _FEW:
            yield from (f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y, *_ in piece)


STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(310px, 100%), 1fr)); gap: 14px; }
.chart { position: relative; margin: 0; padding: 12px 12px 4px; background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; }
.chart figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px;
  align-items: baseline; }
.chart h3 { margin: 0; font-size: 14px; font-weight: 600; } .chart h3 small { color: var(--soft); font-weight: 400; }
.chart figcaption div { display: flex; flex-wrap: wrap; gap: 0 12px; font-size: 12px; color: var(--soft); }
.chart figcaption span::before { content: ""; display: inline-block; width: 10px; height: 3px; border-radius: 2px;
  margin-right: 5px; vertical-align: middle; background: var(--c); }
.chart figcaption b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.chart svg { display: block; width: 100%; height: auto; margin-top: 4px; touch-action: pan-y; cursor: crosshair; }
.chart text { font: 11px system-ui, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
.chart .left { text-anchor: end; } .chart .below { text-anchor: middle; }
.grid { stroke: var(--grid); stroke-width: 1; } .axis { stroke: var(--edge); stroke-width: 1; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.train { stroke-width: 1.4; } .chart circle { fill: var(--c); stroke: var(--card); stroke-width: 1.2; }
.readout path { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; }
.tip { position: absolute; pointer-events: none; z-index: 2; background: var(--card); border: 1px solid var(--edge);
  border-radius: 7px; padding: 5px 9px; font-size: 12px; box-shadow: 0 3px 14px #0003; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tip span { display: block; } .tip span::before { content: ""; display: inline-block; width: 8px; height: 8px;
  border-radius: 50%; margin-right: 6px; background: var(--c); }
.train { --c: var(--c-train); } .valid { --c: var(--c0); } .test { --c: var(--c1); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
:root { --ink: #1d2530; --soft: #5f6b7a; --card: #fff; --edge: #dfe3ea; --grid: #eceff4; --c-train: #8b97a8;
  --c0: #1f6fb4; --c1: #d1495b; --c2: #23875f; --c3: #b97a12; --c4: #7a5195; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #99a5b5; --card: #191f29; --edge: #303947;
  --grid: #252d39; --c-train: #78869a; --c0: #62b0ee; --c1: #ff8593; --c2: #54c795; --c3: #f0b354; --c4: #bf9be0; } }
"""
"""Style of the charts; its variables are colours for the whole page, too."""

SCRIPT = """
document.querySelectorAll(".chart").forEach(chart => {
  const svg = chart.querySelector("svg"), tip = chart.querySelector(".tip"), readout = chart.querySelector(".readout");
  const lines = JSON.parse(chart.querySelector("script").textContent);
  const near = (points, x) => points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a, points[0]);
  const hide = () => { tip.hidden = true; readout.textContent = ""; };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const x = (event.clientX - box.left) * view.width / box.width;
    const all = lines.filter(line => line[2].length).map(([label, kind, points]) => [label, kind, near(points, x)]);
    if (!all.length) return;
    const at = near(all.map(each => each[2]), x), close = all.filter(each => Math.abs(each[2][0] - at[0]) < 14);
    readout.innerHTML = `<path d="M${at[0]} 10V206"/>` +
      close.map(([, kind, p]) => `<circle class="${kind}" cx="${p[0]}" cy="${p[1]}" r="4"/>`).join("");
    tip.innerHTML = `<b>step ${at[2].toLocaleString("en")}</b>`;
    close.forEach(([label, kind, p]) => {
      const row = document.createElement("span");
      row.className = kind;
      row.textContent = `${label} ${p[3]}` + (p[2] === at[2] ? "" : ` (step ${p[2].toLocaleString("en")})`);
      tip.append(row);
    });
    tip.hidden = false;
    const left = box.left - chart.getBoundingClientRect().left + at[0] * box.width / view.width;
    const beyond = left + tip.offsetWidth + 16 > chart.offsetWidth;
    tip.style.left = `${beyond ? Math.max(4, left - tip.offsetWidth - 10) : left + 10}px`;
    tip.style.top = `${box.top - chart.getBoundingClientRect().top + 8}px`;
  });
});
"""
