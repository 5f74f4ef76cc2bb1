"""Figures of utterances: waveform, mel, phones and pitch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from utils.pictures import Curve, Figure, Panel, draw

# Light blue is visible on every colour of the mel.
_PITCH_COLOR = "#5be7ff"
_MEL_FLOOR = float(np.log(1e-5))


def mel_panel(
    mel: np.ndarray,
    *,
    seconds_per_frame: float,
    f0_hz: np.ndarray | None = None,
    phones: Sequence[str] = (),
    durations: Sequence[int] | np.ndarray = (),
    title: str = "",
    height: float = 1.0,
) -> Panel:
    """Return the panel of a mel, with pitch on the right axis and phones above if given.

    Args:
        mel: (T_mel, M), natural logarithm.
        seconds_per_frame: hop_size / sample_rate.
        f0_hz: (T_mel,), 0 where unvoiced.
        phones: T_text labels.
        durations: T_text frames per phone.
        title: above it.
        height: relative to other panels.
    """
    curves = []
    right_range = None
    if f0_hz is not None:
        is_voiced = np.asarray(f0_hz) > 0
        voiced = np.where(is_voiced, f0_hz, np.nan)
        curves.append(
            Curve(voiced, step=seconds_per_frame, start=seconds_per_frame / 2, color=_PITCH_COLOR, on_right=True)
        )
        highest = float(np.max(f0_hz)) if is_voiced.any() else 0.0
        right_range = (0.0, max(1.3 * highest, 100.0))
    return Panel(
        title=title,
        image=np.asarray(mel, dtype=np.float32).T,
        image_step=seconds_per_frame,
        # One scale for all figures, so that they can be compared.
        image_range=(_MEL_FLOOR, 2.0),
        curves=curves,
        ends=(np.cumsum(durations) * seconds_per_frame).tolist(),
        labels=tuple(phones),
        y_label="mel bin",
        right_label="pitch in Hz" if f0_hz is not None else "",
        right_range=right_range,
        height=height,
    )


def mels_picture(
    mels: Mapping[str, np.ndarray],
    *,
    seconds_per_frame: float,
    title: str = "",
    phones: Sequence[str] = (),
    durations: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Draw mels one above the other on one time axis and one scale, e.g. ground truth and predicted.

    Args:
        mels: name to (T_mel, M); the numbers of frames may differ.
        seconds_per_frame: hop_size / sample_rate.
        title: above them all.
        phones: T_text labels, for the mels with durations.
        durations: name to T_text frames per phone.
    """
    timed = durations or {}
    panels = [
        mel_panel(
            mel,
            seconds_per_frame=seconds_per_frame,
            title=name,
            phones=phones if name in timed else (),
            durations=timed.get(name, ()),
        )
        for name, mel in mels.items()
    ]
    return draw(panels, title=title)


def alignment_picture(
    mel: np.ndarray,
    likelihood: np.ndarray,
    *,
    phones: Sequence[str],
    durations: Sequence[int] | np.ndarray,
    seconds_per_frame: float,
    title: str = "",
) -> Figure:
    """Draw the alignment of phones with a mel, and below it the likelihood of each phone over time.

    Args:
        mel: (T_mel, M), natural logarithm.
        likelihood: (T_mel, T_text), from 0 to 1.
        phones: T_text labels.
        durations: T_text frames per phone.
        seconds_per_frame: hop_size / sample_rate.
        title: above it.
    """
    below = Panel(
        image=np.asarray(likelihood, dtype=np.float32).T,
        image_step=seconds_per_frame,
        image_range=(0.0, 1.0),
        y_label="phone",
    )
    return draw(
        [mel_panel(mel, seconds_per_frame=seconds_per_frame, phones=phones, durations=durations), below], title=title
    )


def curves_picture(
    curves: Mapping[str, np.ndarray], *, y_label: str, step: float = 1.0, x_label: str = "phone", title: str = ""
) -> Figure:
    """Draw several curves over each other, e.g. pitch or durations, ground truth and predicted.

    Args:
        curves: name to (T,); NaN leaves a gap.
        y_label: what they measure, with the unit.
        step: time or positions from one value to the next.
        x_label: what the lower axis counts.
        title: above them.
    """
    panel = Panel(
        curves=[Curve(values, label=name, step=step) for name, values in curves.items()], y_label=y_label, height=1.2
    )
    return draw([panel], title=title, x_label=x_label)


def utterance_picture(
    waveform: np.ndarray,
    mel: np.ndarray,
    *,
    sample_rate: int,
    hop_size: int,
    f0_hz: np.ndarray | None = None,
    phones: Sequence[str] = (),
    durations: Sequence[int] | np.ndarray = (),
    title: str = "",
) -> Figure:
    """Draw an utterance's waveform above its mel with phones and pitch.

    Args:
        waveform: (T_wav,) int16, or float in [-1, 1).
        mel: (T_mel, M).
        sample_rate: of the waveform, in Hz.
        hop_size: samples per frame.
        f0_hz: (T_mel,), 0 where unvoiced.
        phones: T_text labels.
        durations: T_text frames per phone.
        title: above it.
    """
    scale = 32768.0 if np.issubdtype(np.asarray(waveform).dtype, np.integer) else 1.0
    curve = Curve(np.asarray(waveform) / scale, step=1 / sample_rate)
    limit = max(1.05 * float(np.abs(curve.values).max(initial=0.0)), 0.05)
    panels = [
        Panel(curves=[curve], y_label="waveform", y_range=(-limit, limit), height=0.55),
        mel_panel(
            mel,
            seconds_per_frame=hop_size / sample_rate,
            f0_hz=f0_hz,
            phones=phones,
            durations=durations,
            height=1.3,
        ),
    ]
    return draw(panels, title=title, width=_width(len(mel) * hop_size / sample_rate))


def _width(seconds: float) -> float:
    # Room for the labels of some 12 phones per second, up to a limit.
    return min(max(10.0, 2.6 * seconds), 40.0)
