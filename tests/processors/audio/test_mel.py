"""One mel definition: HiFi-GAN's, the same for one waveform and a batch, for numpy-sized and for tiny input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from processors.audio.mel import MEL_FLOOR, MelError, MelSpectrogram, mel_filter_bank

LJSPEECH = {"sample_rate": 22050, "n_fft": 1024, "hop_size": 256, "win_size": 1024, "n_mel": 80, "fmin": 0.0}


@pytest.fixture(scope="module")
def mel() -> MelSpectrogram:
    return MelSpectrogram(**LJSPEECH, fmax=8000.0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_mel_equals_the_golden_values(golden: Path, shared_data: Path, mel: MelSpectrogram):
    import soundfile

    reference = np.load(golden / "mel_LJ001-0002.npz")
    path = shared_data / "ljspeech_mini" / "LJSpeech-1.1" / "wavs" / "LJ001-0002.wav"
    waveform, _ = soundfile.read(path, dtype="float32")
    computed = mel(torch.from_numpy(waveform)).numpy()
    expected = reference["mel"]
    assert computed.shape == expected.shape
    above_floor = expected > np.log(MEL_FLOOR) + 1e-6
    assert above_floor.mean() > 0.9
    np.testing.assert_allclose(computed[above_floor], expected[above_floor], atol=1e-3)
    np.testing.assert_allclose(computed, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mel", "fmin", "fmax"),
    [(22050, 1024, 80, 0.0, 8000.0), (24000, 2048, 100, 20.0, None), (16000, 512, 40, 80.0, 7600.0)],
)
def test_filters_equal_librosas(sample_rate, n_fft, n_mel, fmin, fmax):
    librosa_filters = pytest.importorskip("librosa.filters")
    expected = librosa_filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mel, fmin=fmin, fmax=fmax)
    np.testing.assert_allclose(mel_filter_bank(sample_rate, n_fft, n_mel, fmin, fmax), expected, atol=1e-7)


def test_filters_are_built_once():
    assert mel_filter_bank(22050, 1024, 80, 0.0, 8000.0) is mel_filter_bank(22050, 1024, 80, 0.0, 8000.0)


@pytest.mark.parametrize(("hop_size", "n_fft", "win_size"), [(256, 1024, 1024), (300, 2048, 1200), (275, 1024, 800)])
def test_every_hop_gives_one_frame(hop_size, n_fft, win_size):
    mel = MelSpectrogram(**LJSPEECH | {"hop_size": hop_size, "n_fft": n_fft, "win_size": win_size})
    for n_samples in (hop_size, 2 * hop_size - 1, 40 * hop_size, 41 * hop_size - 1, 41 * hop_size):
        spectrum, energy = mel.mel_and_energy(noise(n_samples))
        assert spectrum.shape == (80, n_samples // hop_size) and energy.shape == (n_samples // hop_size,)
        assert torch.isfinite(spectrum).all()


def test_short_waveforms_are_reflected_as_often_as_needed(mel: MelSpectrogram):
    for n_samples in (256, 300, 384, 385):
        waveform = noise(n_samples)
        padded = np.pad(waveform.numpy(), 384, mode="reflect")
        np.testing.assert_array_equal(mel.pad(waveform[None])[0].numpy(), padded)


def test_less_than_one_frame_is_refused(mel: MelSpectrogram):
    with pytest.raises(ValueError, match="255 samples are shorter than one frame of 256"):
        mel(noise(255))


def test_frames_are_centred_on_their_own_samples(mel: MelSpectrogram):
    waveform = torch.zeros(256 * 21)
    waveform[256 * 10 + 128] = 1.0  # the centre of frame 10
    energy = mel.mel_and_energy(waveform)[1]
    assert energy.argmax() == 10
    torch.testing.assert_close(energy[:10].flip(0), energy[10 + 1 :], atol=1e-3, rtol=1e-3)


def test_a_batch_equals_its_rows(mel: MelSpectrogram):
    waveforms = noise(2, 3, 5120)
    spectra, energies = mel.mel_and_energy(waveforms)
    assert spectra.shape == (2, 3, 80, 20) and energies.shape == (2, 3, 20)
    for i in range(2):
        for j in range(3):
            spectrum, energy = mel.mel_and_energy(waveforms[i, j])
            torch.testing.assert_close(spectra[i, j], spectrum, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(energies[i, j], energy)


def test_energy_is_the_norm_of_the_magnitudes(mel: MelSpectrogram):
    waveform = noise(5120)
    padded = np.pad(waveform.double().numpy(), 384, mode="reflect")
    window = np.hanning(1025)[:-1]
    expected = [np.linalg.norm(np.fft.rfft(padded[i * 256 : i * 256 + 1024] * window)) for i in range(20)]
    np.testing.assert_allclose(mel.mel_and_energy(waveform)[1].numpy(), expected, rtol=1e-4)


def test_silence_is_the_floor_and_has_finite_gradients(mel: MelSpectrogram):
    waveform = torch.zeros(5120, requires_grad=True)
    spectrum, energy = mel.mel_and_energy(waveform)
    torch.testing.assert_close(spectrum, torch.full_like(spectrum, float(np.log(MEL_FLOOR))))
    (spectrum.sum() + energy.sum()).backward()
    assert torch.isfinite(waveform.grad).all()


def test_gradients_reach_the_waveform(mel: MelSpectrogram):
    waveform = noise(2, 5120).requires_grad_()
    mel(waveform).mean().backward()
    assert torch.isfinite(waveform.grad).all() and (waveform.grad != 0).float().mean() > 0.99


def test_autocast_and_half_precision_input_change_little(mel: MelSpectrogram):
    waveform = noise(5120)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spectrum = mel(waveform)
    assert spectrum.dtype == torch.float32
    torch.testing.assert_close(spectrum, mel(waveform))
    assert mel(waveform.bfloat16()).dtype == torch.float32
    assert mel(waveform.double()).dtype == torch.float64


def test_it_adds_nothing_to_checkpoints(mel: MelSpectrogram):
    assert not mel.state_dict()


def test_more_filters_than_frequencies_are_refused():
    with pytest.raises(MelError, match="n_mel 80 is too many for n_fft 128"):
        MelSpectrogram(sample_rate=22050, n_fft=128, hop_size=64, win_size=128, n_mel=80, fmax=8000.0)
