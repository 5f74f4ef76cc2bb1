"""The registry of the metrics of synthesised speech, of which many compare it with its recording."""

from __future__ import annotations

from collections.abc import Collection

from processors.evaluation.measures import (
    distill_mos,
    dnsmos,
    energy,
    f0,
    log_spectrum,
    mel_cepstrum,
    mel_difference,
    pesq,
    sharpness,
    si_sdr,
    speaker,
    stft,
    stoi,
    timing,
    word_errors,
)
from processors.evaluation.metric import Measurement, Metric
from processors.evaluation.pair import Input, Pair

_COPY: tuple[Input, ...] = ("equal timing",)
_RECORDING: tuple[Input, ...] = ("recording",)
_TEXT: tuple[Input, ...] = ("text",)
_MOS, _DNS, _ASR = distill_mos.PACKAGES, dnsmos.PACKAGES, word_errors.PACKAGES
_wer, _cer = word_errors.word_error_rate, word_errors.character_error_rate

# fmt: off
METRICS = (
    Metric("mel", "", "less", "mean absolute error of the log-mel, full band", mel_difference.measure, _COPY),
    Metric("spectral_convergence", "", "less", "difference of the spectra, as a share", stft.convergence, _COPY),
    Metric("log_magnitude", "", "less", "difference of the spectra's logarithms", stft.log_magnitude, _COPY),
    Metric("log_spectral_distance", "dB", "less", "root mean square difference of the spectra's levels",
           log_spectrum.measure, _COPY),
    Metric("si_sdr", "dB", "more", "signal over distortion, whatever the level, up to 100", si_sdr.measure, _COPY),
    Metric("pesq", "", "more", "wide-band PESQ, 1 to 4.64", pesq.measure, _COPY, pesq.PACKAGES),
    Metric("stoi", "", "more", "intelligibility, up to 1", stoi.measure, _COPY, stoi.PACKAGES),
    Metric("distillmos", "", "more", "predicted mean opinion score, 1 to 5", distill_mos.measure, (), _MOS),
    Metric("wer", "%", "less", "word errors of a transcript", _wer, _TEXT, _ASR, word_errors.words),
    Metric("cer", "%", "less", "its errors in characters", _cer, _TEXT, _ASR, word_errors.characters),
    Metric("dnsmos", "", "more", "the same by DNSMOS", dnsmos.measure, (), _DNS),
    Metric("reference_dnsmos", "", "more", "that of the recordings", dnsmos.measure_recording, _RECORDING, _DNS),
    Metric("mcd", "dB", "less", "mel-cepstral distortion, after time warping", mel_cepstrum.measure, _RECORDING),
    Metric("f0_rmse", "cents", "less", "error of F0 where both are voiced", f0.rmse, _RECORDING),
    Metric("f0_correlation", "", "more", "correlation of log F0, likewise", f0.correlation, _RECORDING),
    Metric("voicing_f1", "", "more", "agreement on which frames are voiced, up to 1", f0.voicing_f1, _RECORDING),
    Metric("energy_rmse", "dB", "less", "error of the level from frame to frame", energy.rmse, _RECORDING),
    Metric("energy_correlation", "", "more", "correlation of the level, likewise", energy.correlation, _RECORDING),
    Metric("speaker_similarity", "", "more", "cosine of speaker embeddings, up to 1", speaker.measure, _RECORDING),
    Metric("duration_error", "%", "less", "difference of the speech's length, edges left out", timing.duration_error,
           _RECORDING),
    Metric("pause_error", "s", "less", "difference of the total of pauses", timing.pause_error, _RECORDING),
    Metric("speech_length", "s", "near", "length of the speech, edges left out", timing.speech_length),
    Metric("pause_length", "s", "near", "total of pauses within the speech", timing.pause_length),
    Metric("mel_deviation", "", "near", "sharpness of the mel: each band's standard deviation over time",
           sharpness.deviation),
    Metric("mel_change", "", "near", "likewise: mean change from frame to frame", sharpness.change),
    Metric("mel_curvature", "", "near", "likewise: mean second difference from band to band", sharpness.curvature),
)
# fmt: on
"""Every metric: name, unit, better, meaning, function, inputs, packages, weight."""


def measure_pair(pair: Pair, metrics: Collection[Metric] = METRICS) -> dict[str, Measurement]:
    """Compute the metrics of a pair, without those that are undefined or need what it does not have."""
    if not pair.is_comparable:
        return {}
    values = {metric: metric.measure(pair) for metric in metrics if pair.has.issuperset(metric.takes)}
    return {
        metric.name: Measurement(value, metric.weight(pair)) for metric, value in values.items() if value is not None
    }


def listed() -> list[str]:
    """Return the lines of a table of all metrics."""
    rows = [("metric", "unit", "better", "compares", "packages", "meaning")]
    for each in METRICS:
        compares = {_COPY: "copy", _RECORDING: "recording", _TEXT: "text"}.get(each.takes, "")
        needs = "" if each.is_installed else " (missing)"
        rows.append((each.name, each.unit, each.better, compares, ", ".join(each.packages) + needs, each.meaning))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
