"""Work on a Dask cluster: the results of one machine, whichever worker is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import bins.evaluate
import tests.support.tone_words
import utils.cluster
from models.bundles.locate import find_bundle
from models.inference.predict_mels import predict_mels
from processors.data_check.check import check_data
from processors.evaluation.evaluate_folders import Yardsticks
from processors.evaluation.results import evaluate_folders
from processors.feature_store import FeatureStore
from processors.features import PREDICTED_MEL
from processors.preparation.prepare import prepare
from processors.segmenting.cuts import Lengths
from processors.segmenting.readers import ReaderSettings
from processors.segmenting.segment_folder import find_jobs, segment_folder
from processors.segmenting.segments import SegmentingSettings
from tests.support.pool_work import make_nothing, make_square
from tests.support.small_corpus import everything, load, make_corpus, write_config
from tests.support.tiny_features import write_features
from tests.support.tiny_models import TinyModel
from tests.support.tone_words import recognise, write_speech
from utils.cluster import ClusterError, _make_there, _Start, open_cluster
from utils.errors import RecitalError
from utils.process_pool import Died, Failed, Finished, Noted, WorkerError, results_of


@pytest.fixture(scope="module")
def dask_cluster():
    """Return a scheduler and two workers on this machine, each of one thread."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, worker_dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster


@pytest.fixture
def cluster(dask_cluster):
    with open_cluster(dask_cluster.scheduler_address) as connected:
        yield connected


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:9", "nobody listens there"),
        ("tcp://127.0.0.1:99999", "nobody listens there"),
        ("no cluster", "neither an address"),
        (__file__, "not a file that dask scheduler has written"),
    ],
)
def test_an_address_without_a_cluster_is_one_sentence(command, tmp_path, address, sentence):
    began = time.monotonic()
    folders = ("--generated_folder", tmp_path, "--dump_folder", tmp_path / "out")
    code, _, errors = command(bins.evaluate, *folders, "--cluster", address)
    assert (code, errors.count("\n")) == (1, 1) and sentence in errors, errors
    assert time.monotonic() - began < 20


def test_a_machine_that_is_not_like_ours_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(utils.cluster, "_TIMEOUT_S", 1)
    monkeypatch.setattr(utils.cluster, "_LOOK_EVERY_S", 0.01)
    sign = tmp_path / ".cluster-0123"
    sign.write_text("four")
    start = _Start("key", os.getcwd(), {str(sign): 4}, {}, make_square, (1,), ())
    assert _make_there(start)(3, print) == 10
    for others, sentence in (
        ({"signs": {str(sign): 5}}, f"does not see the same {tmp_path} as"),
        ({"signs": {str(tmp_path / "a.wav"): 5}}, "a.wav as"),
        ({"packages": {"numpy": "0.1"}}, "the machine of the command 0.1"),
    ):
        with pytest.raises(ClusterError, match=sentence):
            _make_there(_Start(**{**vars(start), **others}))


@pytest.mark.slow
def test_a_cluster_yields_the_events_of_one_machine(cluster, tmp_path):
    with cluster.pool(make_square, 1, shared=[tmp_path]) as pool:
        for task in (1, "explode", "die", 2):
            pool.submit(task)
        events = list(pool.events())
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []
    assert {event.task: event.result for event in events if isinstance(event, Finished)} == {1: 2, 2: 5}
    assert [event.task for event in events if isinstance(event, Failed)] == ["explode"]
    assert [(event.task, event.last_note) for event in events if isinstance(event, Died)] == [("die", ("began", "die"))]
    assert sum(isinstance(event, Noted) for event in events) == 4
    with pytest.raises(RecitalError, match="the lexicon is missing"), cluster.pool(make_nothing) as pool:
        list(results_of(pool, [1]))
    with pytest.raises(WorkerError, match="SIGKILL"), cluster.pool(make_square, 1) as pool:
        list(results_of(pool, ["die"]))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills a process")
def test_stage_1_with_a_worker_killed_equals_one_machine(tmp_path, dask_cluster, cluster):
    make_corpus(tmp_path / "corpus", 12)
    (tmp_path / "corpus" / "wavs" / "clip_005.wav").write_bytes(b"damaged")
    alone, shared = (load(write_config(tmp_path / name, tmp_path / "corpus")) for name in ("alone", "shared"))
    prepare(alone, num_workers=1)
    shards, killed = tmp_path / "shared" / "processed" / "toy" / "features", []

    def kill_one() -> None:
        while not list(shards.glob("[0-9]*")):
            time.sleep(0.01)
        killed.append(dask_cluster.workers[0].pid)
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    summary = prepare(shared, cluster=cluster)
    assert killed and (summary.usable, summary.rejected) == (11, 1)
    ours, theirs = (everything(tmp_path / name / "processed") for name in ("shared", "alone"))
    del ours["settings.json"], theirs["settings.json"]  # name their own folders
    assert ours == theirs


@pytest.mark.slow
def test_other_stages_on_a_cluster_equal_one_machine(tmp_path, cluster):
    make_corpus(tmp_path / "corpus", 3)
    settings, wavs = load(write_config(tmp_path, tmp_path / "corpus")), tmp_path / "corpus" / "wavs"
    reader = ReaderSettings(engine="function", function=recognise, file=Path(tests.support.tone_words.__file__))
    for name, where in (("alone", None), ("cluster", cluster)):
        check_data(settings, output_dir=tmp_path / name, num_workers=1, with_mos=False, cluster=where)
        metrics = Yardsticks(("mel", "mcd", "speaker_similarity"))
        evaluate_folders(wavs, wavs, dump_folder=tmp_path / name, yardsticks=metrics, workers=where)
        processed = tmp_path / name / "processed"
        write_features(processed)
        voice = TinyModel("FastSpeech2", tmp_path / name)
        voice.task(seed=0).bundle(tmp_path / name / "voice")
        predict_mels(find_bundle(tmp_path / name / "voice"), processed, ["tiny"], cluster=where)
        write_speech(tmp_path / name / "book" / "one.wav", "Ash bay cat. Dew elm fog gem.")
        jobs = find_jobs(tmp_path / name / "book", None, "en")
        segment_folder(
            jobs,
            tmp_path / name / "segmented",
            SegmentingSettings(reader, reader, Lengths(shortest_s=0.5)),
            cluster=where,
        )
    for made in (
        *("toy/data_check.csv", "toy/leave_out.txt", "result.json", "result.csv"),
        *("segmented/manifest.jsonl", "segmented/index.html"),
    ):
        ours, theirs = ((tmp_path / name / made).read_bytes() for name in ("cluster", "alone"))
        assert ours == theirs, made
    ours, theirs = (predicted(tmp_path / name / "processed" / "tiny") for name in ("cluster", "alone"))
    assert ours == theirs and len(ours) == 13


def predicted(folder: Path) -> dict[str, bytes]:
    store = FeatureStore.open(folder)
    return {id_: store.read(id_, PREDICTED_MEL).tobytes() for id_ in store.ids(PREDICTED_MEL)}
