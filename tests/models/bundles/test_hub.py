"""Models on the Hugging Face Hub: named by hf:// wherever a bundle is, uploaded with a card, errors in one sentence."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import bins.export
import bins.synthesize
from models.bundles.hub import local_path
from models.bundles.locate import find_bundle
from models.inference.synthesizer import Synthesizer
from models.inference.vocoder import open_vocoder
from processors.speakers.sources import Source
from tests.support.hub_server import TOKEN, HubServer
from tests.support.tiny_vocoder import tiny_vocoder_bundle
from tests.support.tiny_voice import tiny_bundle
from utils.bundle_file import write_bundle_file
from utils.errors import RecitalError
from utils.hub import HubError, cached_repository, hub_place

constants = pytest.importorskip("huggingface_hub.constants")
hf_api = pytest.importorskip("huggingface_hub.hf_api")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A voice with a vocoder, beside files that no voice needs; as one file; and the vocoder in another layout."""
    place = tmp_path_factory.mktemp("repositories")
    replace(tiny_bundle(), sources=(Source("a teacher", "Apache-2.0"),)).save(place / "anna")
    tiny_vocoder_bundle().save(place / "anna" / "vocoder")
    (place / "anna" / "README.md").write_text("# anna")
    (place / "anna" / "samples").mkdir()
    (place / "anna" / "samples" / "long.wav").write_bytes(b"RIFF")
    (place / "one").mkdir()
    write_bundle_file(place / "one" / "anna.recital", place / "anna")
    return place


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A server that is the Hub of this process, with an empty cache."""
    with HubServer() as server:
        url = server.url
        for name, value in {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(hf_api.api, "endpoint", url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.mark.slow
def test_a_bundle_is_downloaded_without_what_it_does_not_need_and_kept(hub, folder, monkeypatch, capsys):
    hub.add("ann/anna", folder / "anna")
    spoken = [Synthesizer.open(place)("Yes.").waveform for place in ("hf://ann/anna", folder / "anna")]
    assert (spoken[0] == spoken[1]).all()
    assert "model.safetensors" in hub.downloaded and "vocoder/model.safetensors" in hub.downloaded
    assert not {"README.md", "samples/long.wav"} & set(hub.downloaded)
    n_downloaded = len(hub.downloaded)
    assert cached_repository(find_bundle(Path("hf://ann/anna")).folder) == "ann/anna"
    assert len(hub.downloaded) == n_downloaded  # from the cache

    hub.failure = 503
    assert find_bundle("hf://ann/anna").speakers == {"anna": 0}
    assert "the Hub answers 503; using the copy in" in capsys.readouterr().out
    with pytest.raises(HubError, match="no copy of it in"):
        local_path("hf://ann/other")


@pytest.mark.slow
def test_places_within_repositories_are_found(hub, folder):
    hub.add("ann/one", folder / "one")
    several = hub.add("ann/several", folder)
    commit = several.commit
    assert find_bundle("hf://ann/one").weights.keys() == find_bundle(folder / "anna").weights.keys()
    assert find_bundle(f"hf://ann/several@{commit}/anna").speakers == {"anna": 0}
    assert open_vocoder("hf://ann/several/anna/vocoder").settings.model_type == "HiFiGAN"
    assert find_bundle("hf://ann/several/one/anna.recital").speakers == {"anna": 0}
    with pytest.raises(HubError, match="models are in hf://ann/several/anna"):
        find_bundle("hf://ann/several")


@pytest.mark.slow
def test_a_published_checkpoint_is_read_and_discriminators_stay_where_they_are(hub, folder, tmp_path):
    published = tmp_path / "published"
    bins.export.main(
        bins.export._parser().parse_args(
            ["--bundle", str(folder / "anna" / "vocoder"), "--format", "hifigan", "--output_dir", str(published)]
        )
    )
    (published / "do_00000000").write_bytes(b"a discriminator")
    hub.add("ann/hifigan", published)
    found = find_bundle("hf://ann/hifigan")
    ours = find_bundle(folder / "anna" / "vocoder")
    assert all(torch.equal(found.weights[name], weight) for name, weight in ours.weights.items())
    assert "do_00000000" not in hub.downloaded


def test_a_file_that_holds_code_is_refused(hub, tmp_path):
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "waveglow_1.pt")
    hub.add("eve/code", tmp_path)
    with pytest.raises(RecitalError, match="holds more than tensors and numbers"):
        find_bundle("hf://eve/code")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("hf://ann/nothing", "there is no model repository ann/nothing, or it is private: then set HF_TOKEN"),
        ("hf://ann/private", "or it is private: then set HF_TOKEN"),
        ("hf://ann/gated", "has terms to accept first"),
        ("hf://ann/anna@v9", "has no revision v9"),
        ("hf://ann/anna/nowhere", "no file there is of a model that is read"),
        ("hf://ann/texts", "it holds README.md"),
        ("hf://ann/two", "holds several models; name one: hf://ann/two/a.pt, hf://ann/two/b.pt"),
        ("hf://anna", "expected hf://owner/name"),
        ("hf://ann/../../etc", "expected hf://owner/name"),
    ],
)
def test_what_cannot_be_downloaded_is_named_with_the_reason(hub, folder, tmp_path, place, reason):
    hub.add("ann/anna", folder / "anna")
    hub.add("ann/private", folder / "anna").is_private = True
    hub.add("ann/gated", folder / "anna").is_gated = True
    for name in ("texts/README.md", "two/a.pt", "two/b.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    hub.add("ann/texts", tmp_path / "texts")
    hub.add("ann/two", tmp_path / "two")
    with pytest.raises(HubError, match=reason.replace(".", r"\.")):
        find_bundle(place)
    assert hub.downloaded == []


def test_a_missing_package_and_a_missing_network_are_named(hub, monkeypatch):
    monkeypatch.setattr(hf_api.api, "endpoint", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="the Hub cannot be reached"):
        local_path("hf://ann/anna")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"sh env\.sh hub"):
        local_path("hf://ann/anna")


def export(*arguments: str) -> None:
    bins.export.main(bins.export._parser().parse_args(arguments))


@pytest.mark.slow
def test_an_upload_has_a_card_and_speaks_when_downloaded_again(hub, folder, tmp_path, monkeypatch, capsys):
    asked = ["--bundle", str(folder / "anna"), "--format", "bundle", "--output_dir", str(tmp_path / "out")]
    asked += ["--push", "ann/new", "--private"]
    with pytest.raises(HubError, match="an upload needs a token"):
        export(*asked)
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    export(*asked)
    new = hub.repositories["ann/new"]
    assert new.is_private and "uploaded to" in capsys.readouterr().out
    _, head, text = new.files["README.md"].decode().split("---\n")
    assert yaml.safe_load(head) == {
        "license": "apache-2.0",
        "language": ["en"],
        "library_name": "recital",
        "pipeline_tag": "text-to-speech",
        "tags": ["recital", "text-to-speech", "fastspeech2"],
    }
    assert "hf://ann/new" in text and "a teacher (Apache-2.0)" in text
    assert str(tmp_path) not in text + json.dumps(list(new.files))
    assert find_bundle("hf://ann/new").speakers == {"anna": 0}
    (tmp_path / "out" / "README.md").unlink()
    export(*asked, "--overwrite", "--licence", "MIT")
    assert yaml.safe_load(new.files["README.md"].decode().split("---\n")[1])["license"] == "mit"
    (tmp_path / "out" / "README.md").write_text("mine")
    export(*asked, "--overwrite")
    assert new.files["README.md"] == b"mine"
    hub.failure = 403
    with pytest.raises(HubError, match="may not do that"):
        export(*asked, "--overwrite")


@pytest.mark.slow
def test_results_of_a_model_from_the_hub_stay_out_of_its_cache(hub, folder, tmp_path, monkeypatch):
    hub.add("ann/anna", folder / "anna")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x", "--infer_expt_dir", "hf://ann/anna", "--infer_text", "Yes."])
    with pytest.raises(SystemExit) as left:
        bins.synthesize.run(bins.synthesize.main, bins.synthesize._parser(), bins.synthesize._check)
    assert left.value.code == 0
    assert [path.parent for path in tmp_path.glob("result/**/*.wav")] == [tmp_path / "result" / "anna"]


def test_a_place_is_read_with_one_slash_or_two():
    assert hub_place(Path("hf://a/b@v1/c/d")) == hub_place("hf://a/b@v1/c/d/")
    assert str(hub_place("hf:/a/b")) == "hf://a/b"
