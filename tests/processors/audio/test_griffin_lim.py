"""Griffin-Lim gives a waveform whose mel is nearly the one asked for, for any framing, batch and length."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from processors.audio.griffin_lim import griffin_lim, magnitude_of_mel
from processors.audio.mel import MEL_FLOOR, MelSpectrogram


def mel_definition(**changes) -> MelSpectrogram:
    settings = {"sample_rate": 22050, "n_fft": 1024, "hop_size": 256, "win_size": 1024, "n_mel": 80, "fmax": 8000.0}
    return MelSpectrogram(**settings | changes)


def voice(n_samples: int, f0_hz: float = 150.0) -> torch.Tensor:
    """A tone of many harmonics that swells and moves, so that it has both lines and onsets."""
    time_s = torch.arange(n_samples) / 22050
    phase = 2 * torch.pi * (f0_hz * time_s + 8.0 * torch.sin(2 * torch.pi * 2.0 * time_s))
    tone = torch.stack([torch.sin(n * phase) / n for n in range(1, 30)]).sum(dim=0)
    return 0.15 * tone * (0.55 + 0.45 * torch.sin(2 * torch.pi * 3.0 * time_s))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hop_size": 300, "n_fft": 2048, "win_size": 1200, "n_mel": 100, "fmax": None},
        {"hop_size": 275, "n_fft": 1024, "win_size": 1000},
    ],
)
def test_the_mel_of_the_waveform_is_the_given_one(changes: dict):
    mel = mel_definition(**changes)
    log_mel = mel(voice(mel.hop_size * 60))
    waveform = griffin_lim(log_mel, mel)
    assert waveform.shape == (mel.hop_size * 60,) and waveform.dtype == torch.float32
    loud = log_mel > log_mel.max() - 6
    assert (mel(waveform) - log_mel)[loud].abs().mean() < 0.2
    assert (mel(waveform) - log_mel).abs()[:, :2][loud[:, :2]].mean() < 0.5  # the edges are no worse than that


def test_speech_is_reconstructed(shared_data: Path):
    import soundfile

    mel = mel_definition()
    samples, _ = soundfile.read(shared_data / "ljspeech_mini/LJSpeech-1.1/wavs/LJ001-0002.wav", dtype="float32")
    log_mel = mel(torch.from_numpy(samples))
    assert (mel(griffin_lim(log_mel, mel)) - log_mel).abs().mean() < 0.11


def test_more_iterations_reduce_the_error():
    mel = mel_definition()
    log_mel = mel(voice(256 * 60))
    errors = [(mel(griffin_lim(log_mel, mel, iterations=n)) - log_mel).abs().mean().item() for n in (0, 5, 60)]
    assert errors[0] > errors[1] > errors[2]


def test_magnitudes_are_not_negative_and_give_the_mel():
    mel = mel_definition()
    log_mel = mel(voice(256 * 60))[None]
    magnitude = magnitude_of_mel(log_mel, mel)
    assert (magnitude >= 0).all()
    again = (mel.filter_bank[:, : mel.n_bins_used] @ magnitude).clamp(min=MEL_FLOOR).log()
    assert (again - log_mel).abs().mean() < 0.01


def test_a_batch_equals_its_rows():
    mel = mel_definition()
    log_mels = torch.stack([mel(voice(256 * 20, f0_hz)) for f0_hz in (120.0, 240.0)])
    waveforms = griffin_lim(log_mels, mel, iterations=8)
    assert waveforms.shape == (2, 256 * 20)
    for log_mel, waveform in zip(log_mels, waveforms, strict=True):
        torch.testing.assert_close(griffin_lim(log_mel, mel, iterations=8), waveform, atol=1e-4, rtol=1e-4)


def test_equal_input_gives_equal_output():
    mel = mel_definition()
    log_mel = mel(voice(256 * 20))
    assert torch.equal(griffin_lim(log_mel, mel, iterations=4), griffin_lim(log_mel, mel, iterations=4))


def test_silence_stays_silent():
    mel = mel_definition()
    waveform = griffin_lim(mel(torch.zeros(256 * 20)), mel, iterations=10)
    assert waveform.abs().max() < 1e-3


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_a_few_frames_are_enough(n_frames: int):
    mel = mel_definition()
    waveform = griffin_lim(mel(voice(256 * n_frames)), mel, iterations=10)
    assert waveform.shape == (256 * n_frames,) and torch.isfinite(waveform).all()


def test_half_precision_input_and_autocast_are_computed_in_float32():
    mel = mel_definition()
    log_mel = mel(voice(256 * 20))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(griffin_lim(log_mel, mel, iterations=3), griffin_lim(log_mel, mel, iterations=3))
    assert griffin_lim(log_mel.bfloat16(), mel, iterations=3).dtype == torch.float32
