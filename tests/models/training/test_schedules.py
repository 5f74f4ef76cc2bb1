"""Learning rate schedules."""

from __future__ import annotations

import pytest

from config.load import load_settings
from models.registry import settings_class
from models.training.schedules import learning_rate_share


def schedule(**changes):
    names = {"warmup_steps": 100, "decay": "inverse_sqrt", "decay_steps": 1100, "anneal_steps": (), "anneal_rate": 0.3}
    return learning_rate_share(**{**names, **changes})


def test_learning_rate_rises_to_its_peak_and_falls_with_the_square_root():
    share = schedule()
    assert share(0) == 0.01
    assert share(99) == 1.0
    assert share(399) == pytest.approx(0.5)


def test_learning_rate_is_annealed_at_each_of_its_steps():
    plain, annealed = schedule(), schedule(anneal_steps=(200, 300))
    assert annealed(199) == plain(199)
    assert annealed(200) == pytest.approx(0.3 * plain(200))
    assert annealed(300) == pytest.approx(0.09 * plain(300))


def test_cosine_ends_at_a_hundredth():
    share = schedule(decay="cosine")
    assert share(99) == share(100) == 1.0
    assert share(600) == pytest.approx(0.505)
    assert share(1100) == share(5000) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("config", "last"), [("fastspeech2", 0), ("fastspeech2_small", 6000), ("aligner", 800), ("hifigan_v1", 0)]
)
def test_settings_say_where_a_schedule_with_an_end_ends(tmp_path, config, last):
    path = tmp_path / "exp_config.json"
    path.write_text(f'{{base_config: "config/{config}.json", dataset: ["x"], dataset_path: {{x: "none"}}}}')
    train = load_settings(path, [], settings_class).settings.train
    assert train.last_decay_step == last
    if last:
        share = learning_rate_share(decay="cosine", warmup_steps=train.warmup_steps, decay_steps=train.decay_steps)
        assert share(last - 1) > share(last) == share(last + 1)
