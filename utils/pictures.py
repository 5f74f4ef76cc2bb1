"""Figures along time: images, curves, and labelled segments.

pyplot is not used, since it keeps every figure in a global list and looks for a display: a training run or a server may
draw for weeks and from several threads.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Figure

COLORS = ("#1f6fb4", "#d1495b", "#2a9d6f", "#e09f3e", "#7a5195")
"""Distinguishable with most kinds of colour blindness."""
_INK = "#333333"
_DOTS_PER_INCH = 100
# Curves with more points than a panel has pixels are drawn as the envelope of each pixel's points.
_MAX_POINTS = 4000
_MIN_LABEL_GAP_INCHES = 0.085
_LABEL_SIZE = 7.0
_LEFT_INCHES, _RIGHT_INCHES, _X_LABEL_INCHES, _TITLE_INCHES, _LABELS_INCHES = 0.65, 0.6, 0.45, 0.3, 0.26

# Characters that the font lacks, such as Chinese ones, are drawn as boxes, without a warning for each.
warnings.filterwarnings("ignore", message="Glyph .* missing from font")


@dataclass(frozen=True)
class Curve:
    """Values along time.

    Attributes:
        values: (T,); NaN leaves a gap.
        label: for the legend; empty for none.
        step: time from one value to the next.
        start: time of the first value.
        color: one of matplotlib's; by default the next of `COLORS`.
        on_right: whether it has its own axis, on the right.
        as_steps: whether each value holds until the next.
    """

    values: np.ndarray
    label: str = ""
    step: float = 1.0
    start: float = 0.0
    color: str = ""
    on_right: bool = False
    as_steps: bool = False


@dataclass(frozen=True)
class Panel:
    """One panel of a figure.

    Attributes:
        title: above it, on the left.
        image: (rows, columns) with row 0 at the bottom, or None.
        image_step: time per column.
        image_range: lowest and highest value of the colours; by default the image's own.
        curves: drawn over the image.
        ends: end times of the labelled segments; the first begins at 0.
        labels: one for each of `ends`.
        y_label: beside the left axis.
        right_label: beside the right axis.
        y_range: of the left axis; by default what the curves need.
        right_range: of the right axis.
        height: relative to the other panels.
    """

    title: str = ""
    image: np.ndarray | None = None
    image_step: float = 1.0
    image_range: tuple[float, float] | None = None
    curves: Sequence[Curve] = field(default_factory=tuple)
    ends: Sequence[float] = ()
    labels: Sequence[str] = ()
    y_label: str = ""
    right_label: str = ""
    y_range: tuple[float, float] | None = None
    right_range: tuple[float, float] | None = None
    height: float = 1.0


def draw(
    panels: Sequence[Panel],
    *,
    title: str = "",
    x_label: str = "seconds",
    width: float = 10.0,
    panel_height: float = 2.2,
) -> Figure:
    """Draw panels one above the other over one common time axis.

    Args:
        panels: from top to bottom; at least one.
        title: above them all.
        x_label: below the last.
        width: of the whole, in inches of 100 dots.
        panel_height: of a panel of height 1, in inches.
    """
    # Positions are computed in inches: matplotlib's layouts draw everything twice.
    above = [_room_above(panel) for panel in panels]
    heights = [panel.height * panel_height for panel in panels]
    top = _TITLE_INCHES if title else 0.1
    height = top + sum(above) + sum(heights) + _X_LABEL_INCHES
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    right_inches = _RIGHT_INCHES if any(curve.on_right for panel in panels for curve in panel.curves) else 0.15
    end = max(_end(panel) for panel in panels)
    with matplotlib.rc_context({"font.size": 9, "axes.edgecolor": _INK, "text.color": _INK}):
        bottom = height - top
        for panel, room, panel_inches in zip(panels, above, heights, strict=True):
            bottom -= room + panel_inches
            axis = figure.add_axes(
                (
                    _LEFT_INCHES / width,
                    bottom / height,
                    (width - _LEFT_INCHES - right_inches) / width,
                    panel_inches / height,
                )
            )
            axis.set_xlim(0, end)
            axis.tick_params(labelbottom=panel is panels[-1])
            _draw_panel(axis, panel, seconds_per_inch=end / (width - _LEFT_INCHES - right_inches))
        axis.set_xlabel(x_label)
        if title:
            # parse_math: "$5" is no formula.
            figure.text(0.1 / width, 1 - 0.08 / height, title, fontsize=10, va="top", parse_math=False)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    content = io.BytesIO()
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    # Without the software's version equal figures are equal files.
    canvas.print_png(content, metadata={"Software": None})
    return content.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """Return a figure as (height, width, 3) uint8, red, green and blue."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    rgb: np.ndarray = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    return rgb


def _room_above(panel: Panel) -> float:
    return 0.12 + (_LABELS_INCHES if panel.labels else 0.0) + (0.2 if panel.title else 0.0)


def _end(panel: Panel) -> float:
    ends = [curve.start + len(curve.values) * curve.step for curve in panel.curves]
    if panel.image is not None:
        ends.append(panel.image.shape[1] * panel.image_step)
    return max([*ends, *panel.ends[-1:]], default=0.0) or 1.0


def _draw_panel(axis: Axes, panel: Panel, seconds_per_inch: float) -> None:
    if panel.image is not None:
        rows, columns = panel.image.shape
        lowest, highest = panel.image_range or (None, None)
        axis.imshow(
            panel.image,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=lowest,
            vmax=highest,
            extent=(0.0, columns * panel.image_step, 0.0, rows),
        )
        axis.set_ylim(0, rows)
    right = axis.twinx() if any(curve.on_right for curve in panel.curves) else None
    for number, curve in enumerate(panel.curves):
        on = right if right is not None and curve.on_right else axis
        _draw_curve(on, curve, curve.color or COLORS[number % len(COLORS)])
    _draw_segments(axis, panel, seconds_per_inch)
    if panel.y_range:
        axis.set_ylim(*panel.y_range)
    if right is not None:
        right.set_ylabel(panel.right_label)
        if panel.right_range:
            right.set_ylim(*panel.right_range)
    axis.set_ylabel(panel.y_label)
    if any(curve.label for curve in panel.curves):
        lines = [line for on in (axis, right) if on is not None for line in on.get_lines() if line.get_gid() == "curve"]
        (right or axis).legend(handles=lines, loc="upper right", fontsize=8, framealpha=0.85)
    if panel.title:
        axis.set_title(panel.title, fontsize=9, loc="left", pad=20 if panel.labels else 4, parse_math=False)


def _draw_curve(axis: Axes, curve: Curve, color: str) -> None:
    values = np.asarray(curve.values, dtype=np.float64)
    times = curve.start + curve.step * np.arange(len(values))
    if len(values) > _MAX_POINTS:
        per_pixel = -(-len(values) * 2 // _MAX_POINTS)
        whole = values[: len(values) // per_pixel * per_pixel].reshape(-1, per_pixel)
        axis.fill_between(times[: whole.size : per_pixel], whole.min(1), whole.max(1), color=color, linewidth=0.5)
    else:
        drawstyle = "steps-post" if curve.as_steps else "default"
        label = curve.label or "_"
        axis.plot(times, values, color=color, linewidth=1.5, label=label, drawstyle=drawstyle, gid="curve")


def _draw_segments(axis: Axes, panel: Panel, seconds_per_inch: float) -> None:
    ends = np.asarray(panel.ends, dtype=np.float64)
    starts = np.concatenate([[0.0], ends[:-1]]) if len(ends) else ends
    color = "white" if panel.image is not None else _INK
    for end in ends[:-1]:
        axis.axvline(end, color=color, linewidth=0.6, alpha=0.6)
    # Labels alternate between two rows; those that would still overlap are omitted.
    last_in_row = [-np.inf, -np.inf]
    row = 0
    for start, end, label in zip(starts, ends, panel.labels, strict=True):
        if not label or end <= start:
            continue
        middle = (start + end) / 2
        room = _MIN_LABEL_GAP_INCHES * (len(label) + 0.5) * seconds_per_inch
        if middle - last_in_row[row] < room:
            row = 1 - row
        if middle - last_in_row[row] < room:
            continue
        axis.annotate(
            label,
            (middle, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 8 * row),
            textcoords="offset points",
            ha="center",
            fontsize=_LABEL_SIZE,
            color=_INK,
            parse_math=False,
        )
        last_in_row[row] = middle
        row = 1 - row
