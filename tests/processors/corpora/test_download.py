"""Stage 0: downloads go on where they broke off, are what was published, and write nowhere else."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import random
import shutil
import socket
import subprocess
import tarfile
import urllib.error
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from processors.corpora import downloads
from processors.corpora.corpus import CorpusError
from processors.corpora.downloads import ARCHIVES, Archive, download_corpus, is_downloadable
from processors.corpora.layouts import LAYOUT_OF_DATASET
from processors.corpora.lhotse_adapter import Part
from tests.support.commands import call
from tests.support.file_server import FileServer
from utils.download import DownloadError, download
from utils.unpack import UnpackError, unpack

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FileServer({"a.bin": CONTENT}) as server:
        yield server


def get(server: FileServer, folder: Path, checksum: str = SHA256, **options) -> Path:
    path = folder / "a.bin"
    assert download(f"{server.url}/a.bin", path, checksum=checksum, pause_s=0, **options) == SHA256
    assert path.read_bytes() == CONTENT
    assert [inner.name for inner in folder.iterdir()] == ["a.bin"]
    return path


@pytest.mark.parametrize("checksum", [SHA256, MD5, ""])
def test_a_file_is_downloaded_completely(server, tmp_path, checksum):
    get(server, tmp_path, checksum)


def test_a_dropped_connection_is_resumed(server, tmp_path):
    server.drops_after = 70_000
    get(server, tmp_path, attempts=1)
    assert server.asked == ["", "bytes=70000-", "bytes=140000-", "bytes=210000-", "bytes=280000-"]


def test_a_killed_download_is_resumed_by_the_next_call(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:123_456])
    (tmp_path / "a.bin.part.json").write_text(json.dumps({"url": f"{server.url}/a.bin", "mark": '"1"'}))
    get(server, tmp_path)
    assert server.asked == ["bytes=123456-"]


def test_a_complete_part_is_not_downloaded_again_after_a_kill(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    (tmp_path / "a.bin.part.json").write_text(json.dumps({"url": f"{server.url}/a.bin", "mark": '"1"'}))
    get(server, tmp_path)
    assert server.asked == ["bytes=300000-"]


@pytest.mark.parametrize("note", ['{"url": "http://elsewhere/a.bin", "mark": "1"}', '{"url"', "[]", None])
def test_a_part_of_unknown_origin_is_discarded(server, tmp_path, note):
    (tmp_path / "a.bin.part").write_bytes(b"something else")
    if note is not None:
        (tmp_path / "a.bin.part.json").write_text(note)
    get(server, tmp_path)
    assert server.asked == [""]


def test_a_changed_file_is_downloaded_from_the_start(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.bin.part.json").write_text(json.dumps({"url": f"{server.url}/a.bin", "mark": '"0"'}))
    get(server, tmp_path)
    assert server.asked == ["bytes=1000-"]


def test_a_server_without_ranges_is_supported(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:1000])
    (tmp_path / "a.bin.part.json").write_text(json.dumps({"url": f"{server.url}/a.bin", "mark": '"1"'}))
    get(server, tmp_path)


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.failures = [503, 429, 500]
    get(server, tmp_path)


def test_a_stalled_download_ends_with_advice_to_resume(server, tmp_path):
    server.failures = [503] * 9
    with pytest.raises(DownloadError, match=r"interrupted after .*503.*run the same command again to continue"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", pause_s=0, attempts=3)
    assert len(server.asked) == 3


def test_a_missing_file_is_an_error_at_once(server, tmp_path):
    with pytest.raises(DownloadError, match=r"the server answers 404 .*mirror"):
        download(f"{server.url}/b.bin", tmp_path / "b.bin", pause_s=0)
    assert len(server.asked) == 1


def test_an_unreachable_server_is_an_error(server, tmp_path):
    with pytest.raises(DownloadError, match="run the same command again"):
        download("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", pause_s=0, attempts=2)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "a.bin"])
def test_only_http_and_https_are_accepted(tmp_path, url):
    with pytest.raises(DownloadError, match="not an http or https address"):
        download(url, tmp_path / "a.bin")


def test_a_wrong_checksum_is_refused_and_nothing_stays(server, tmp_path):
    server.files["a.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=rf"not the published file.*, not {SHA256}; it was deleted"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", checksum=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_an_intact_file_needs_no_connection(server, tmp_path):
    get(server, tmp_path)
    server.asked.clear()
    get(server, tmp_path)
    assert server.asked == []
    (tmp_path / "a.bin").write_bytes(b"wrong")
    get(server, tmp_path)
    assert server.asked == [""]


def test_a_disk_too_small_is_an_error_before_downloading(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 500_000))
    with pytest.raises(DownloadError, match=r"0\.8 MB are needed to download and unpack .*, 0\.5 MB are free"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", room_factor=1.5)
    assert not (tmp_path / "a.bin").exists()


# Archives


def tar_of(path: Path, *members: tuple[str, bytes | str, bytes]) -> Path:
    """Members are name, content or where a link leads, and type."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = str(content)
            body = content if kind == tarfile.REGTYPE else b""
            member.size, member.mode = len(body), 0o6777
            tar.addfile(member, io.BytesIO(body))
    return path


def zip_of(path: Path, *members: tuple[str, bytes, int]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content, mode in members:
            member = zipfile.ZipInfo("x")
            member.filename = name
            member.external_attr = mode << 16
            packed.writestr(member, content)
    return path


FILE, LINK, DEVICE = 0o100644, 0o120777, 0o020666
REG, SYM, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize("maker", [tar_of, zip_of])
def test_good_archives_are_unpacked(tmp_path, maker):
    kind = REG if maker is tar_of else FILE
    unpack(maker(tmp_path / "a", ("./top/b.txt", b"one", kind), ("top/c/d.txt", b"two", kind)), tmp_path / "out")
    found = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.txt")}
    assert {name: path.read_bytes() for name, path in found.items()} == {"top/b.txt": b"one", "top/c/d.txt": b"two"}
    assert not any(path.stat().st_mode & 0o6111 for path in found.values())


OUTSIDE = ["../evil", "/tmp/evil", "a/../../evil", "..", "a\\..\\..\\evil", "C:/evil", "C:evil"]
HOSTILE_TARS = [
    *((name, b"x", REG) for name in OUTSIDE),
    *(("inner/link", target, SYM) for target in ("/etc/passwd", "../../evil", "a/../../../evil")),
    *(("inner/link", target, HARD) for target in ("/etc/passwd", "../../evil", "nothing")),
    ("pipe", b"", tarfile.FIFOTYPE),
    ("device", b"", tarfile.CHRTYPE),
    ("device", b"", tarfile.BLKTYPE),
]
HOSTILE_ZIPS = [
    *((name, b"x", FILE) for name in OUTSIDE),
    ("inner/link", b"../../evil", LINK),
    ("link", b"/etc/passwd", LINK),
    ("device", b"", DEVICE),
]


def assert_refused(archive: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnpackError, match="do not trust this archive"):
        unpack(archive, tmp_path / "deep" / "out")
    made = set(tmp_path.rglob("*")) - before
    assert all(path == tmp_path / "deep" or (tmp_path / "deep" / "out") in (path, *path.parents) for path in made)
    assert not any(path.is_symlink() for path in made)


@pytest.mark.parametrize("member", HOSTILE_TARS, ids=str)
def test_a_hostile_tar_writes_nothing_outside(tmp_path, member):
    assert_refused(tar_of(tmp_path / "a.tar.gz", ("good.txt", b"good", REG), member), tmp_path)


@pytest.mark.parametrize("member", HOSTILE_ZIPS, ids=str)
def test_a_hostile_zip_writes_nothing_outside(tmp_path, member):
    assert_refused(zip_of(tmp_path / "a.zip", ("good.txt", b"good", FILE), member), tmp_path)


def test_no_link_is_created_that_a_later_member_could_follow(tmp_path, capsys):
    archive = tar_of(tmp_path / "a.tar.gz", ("a", "sub", SYM), ("a/b.txt", b"x", REG), ("c.txt", "a/b.txt", HARD))
    unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out" / "a").is_symlink()
    assert (tmp_path / "out" / "c.txt").read_bytes() == b"x" and not (tmp_path / "out" / "sub").exists()
    assert "1 symbolic links in it were left out" in capsys.readouterr().err


def test_damaged_archives_are_refused(tmp_path):
    whole = tar_of(tmp_path / "a.tar.gz", ("b", CONTENT, REG)).read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("none", b"no archive"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnpackError, match=r"(is damaged|is neither a zip nor a tar archive).*delete it"):
            unpack(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_an_archive_damaged_in_its_middle_is_refused(tmp_path, packing):
    archive, chance = tmp_path / f"a.tar.{packing}", random.Random(0)
    with tarfile.open(archive, f"w:{packing}") as tar:
        for name in "abc":
            member = tarfile.TarInfo(name)
            member.size = 300_000
            tar.addfile(member, io.BytesIO(chance.randbytes(member.size)))
    unpack(archive, tmp_path / "whole")
    content = bytearray(archive.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    archive.write_bytes(content)
    with pytest.raises(UnpackError, match=r"(is damaged|is neither a zip nor a tar archive).*delete it"):
        unpack(archive, tmp_path / "out")


# Corpora


@pytest.fixture
def toy(monkeypatch, server, tmp_path):
    """A corpus of two parts, whose archives hold it one folder deep, as LibriTTS."""
    archives = []
    for part, kind in (("train-one", "one"), ("dev-two", "two")):
        packed = tar_of(
            tmp_path / f"{part}.tar.gz",
            (f"Toy/{part}/a.wav", part.encode(), REG),
            (f"Toy/{part}/b/c.wav", CONTENT, REG),
            ("Toy/README.txt", b"the same in each", REG),
        )
        server.files[packed.name] = packed.read_bytes()
        sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
        archives.append(Archive(f"{server.url}/{packed.name}", part, f"sha256:{sha256}", Part(part, kind=kind)))
        packed.unlink()
    monkeypatch.setitem(downloads.ARCHIVES, "Toy", tuple(archives))
    return archives


def names_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


PARTS = {part: [f"{part}/a.wav", f"{part}/b/c.wav"] for part in ("dev-two", "train-one")}
ALWAYS = [".downloads.json", "README.txt"]


def test_a_corpus_is_downloaded_to_its_folder_once(toy, server, tmp_path, capsys):
    download_corpus("Toy", tmp_path / "toy")
    assert names_in(tmp_path / "toy") == sorted([*ALWAYS, *PARTS["dev-two"], *PARTS["train-one"]])
    assert "has the published checksum" in capsys.readouterr().out
    server.asked.clear()
    download_corpus("Toy", tmp_path / "toy")
    assert server.asked == [] and f"Toy: is in {tmp_path / 'toy'}" in capsys.readouterr().out


def test_only_the_requested_parts_are_downloaded(toy, server, tmp_path):
    download_corpus("Toy", tmp_path / "toy", subset=["dev-two"])
    assert names_in(tmp_path / "toy") == sorted([*ALWAYS, *PARTS["dev-two"]])
    download_corpus("Toy", tmp_path / "toy", subset=["one"])
    assert names_in(tmp_path / "toy") == sorted([*ALWAYS, *PARTS["dev-two"], *PARTS["train-one"]])
    assert len(server.asked) == 2


def test_a_manually_downloaded_corpus_is_kept(toy, server, tmp_path):
    for part in PARTS:
        (tmp_path / "toy" / part).mkdir(parents=True)
    download_corpus("Toy", tmp_path / "toy")
    assert server.asked == [] and names_in(tmp_path / "toy") == []


def test_further_parts_of_a_manual_corpus_are_downloaded_only_by_name(toy, server, tmp_path, capsys):
    (tmp_path / "toy" / "dev-two").mkdir(parents=True)
    download_corpus("Toy", tmp_path / "toy")
    assert server.asked == [] and "toy has dev-two; name other parts" in capsys.readouterr().out
    download_corpus("Toy", tmp_path / "toy", subset=["a speaker"])
    assert server.asked == []
    download_corpus("Toy", tmp_path / "toy", subset=["dev-two", "train-one"])
    assert names_in(tmp_path / "toy") == sorted([*ALWAYS, *PARTS["train-one"]])


def test_speakers_do_not_download_further_parts(toy, server, tmp_path):
    download_corpus("Toy", tmp_path / "toy", subset=["dev-two"])
    download_corpus("Toy", tmp_path / "toy", subset=["a speaker"])
    assert len(server.asked) == 1


@pytest.mark.parametrize("reason", [socket.gaierror(-2, "Name or service not known"), OSError(errno.ENETUNREACH, "x")])
def test_without_a_network_there_is_one_sentence_and_no_empty_folder(toy, tmp_path, monkeypatch, reason):
    asked = []

    def fail(request, timeout):
        asked.append(request)
        raise urllib.error.URLError(reason)

    monkeypatch.setattr("urllib.request.urlopen", fail)
    folder = tmp_path / "deep" / "toy"
    with pytest.raises(DownloadError, match=r"no network \(.*\); bring the file by hand to .*, or .*--mirror"):
        download_corpus("Toy", folder)
    assert len(asked) == 1 and not (tmp_path / "deep").exists()


def test_a_misspelt_part_does_not_download_all(toy, server, tmp_path):
    with pytest.raises(CorpusError, match=r"dataset_subset\.Toy: unknown part 'dev-tow'; did you mean dev-two"):
        download_corpus("Toy", tmp_path / "toy", subset=["dev-tow"])
    assert server.asked == []


def test_another_version_of_a_manual_corpus_is_kept(server, tmp_path, capsys):
    for inner in ("txt", "wav48"):  # VCTK as it was before 0.92
        (tmp_path / inner).mkdir()
    download_corpus("VCTK", tmp_path, mirror=server.url)
    assert server.asked == [] and f"VCTK: is in {tmp_path}" in capsys.readouterr().out


def test_a_kill_while_unpacking_is_repaired(toy, tmp_path, monkeypatch):
    def killed(source, target):
        (target / "train-one").mkdir()
        (target / "train-one" / "a.wav").write_bytes(b"ha")
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(downloads, "_merge", killed)
        download_corpus("Toy", tmp_path / "toy", subset=["train-one"])
    download_corpus("Toy", tmp_path / "toy", subset=["train-one"])
    assert names_in(tmp_path / "toy") == sorted([*ALWAYS, *PARTS["train-one"]])
    assert (tmp_path / "toy" / "train-one" / "a.wav").read_bytes() == b"train-one"


def test_an_unpublished_checksum_is_recorded(server, tmp_path, monkeypatch, capsys):
    packed = tar_of(tmp_path / "x.tgz", ("data/info.txt", b"1", REG))
    server.files["x.tgz"] = packed.read_bytes()
    monkeypatch.setitem(downloads.ARCHIVES, "Toy", (Archive(f"{server.url}/x.tgz", "info.txt"),))
    download_corpus("Toy", tmp_path / "toy")
    assert "no checksum of x.tgz is published; recorded sha256:" in capsys.readouterr().out
    (tmp_path / "toy" / "info.txt").unlink()
    server.files["x.tgz"] = tar_of(tmp_path / "y.tgz", ("data/info.txt", b"2", REG)).read_bytes()
    with pytest.raises(DownloadError, match="not the published file"):
        download_corpus("Toy", tmp_path / "toy")
    server.files["x.tgz"] = packed.read_bytes()
    download_corpus("Toy", tmp_path / "toy", keep_archives=True)
    assert names_in(tmp_path / "toy") == [".download/x.tgz", ".downloads.json", "info.txt"]


def test_an_archive_of_something_else_is_refused(server, tmp_path, monkeypatch):
    server.files["x.tgz"] = tar_of(tmp_path / "x.tgz", ("other.txt", b"1", REG)).read_bytes()
    monkeypatch.setitem(downloads.ARCHIVES, "Toy", (Archive(f"{server.url}/x.tgz", "info.txt"),))
    with pytest.raises(CorpusError, match=r"x\.tgz: holds no info\.txt"):
        download_corpus("Toy", tmp_path / "toy")


def test_a_hostile_corpus_leaves_nothing_outside(server, tmp_path, monkeypatch):
    hostile = tar_of(tmp_path / "x.tgz", ("info.txt", b"1", REG), ("../../evil.txt", b"x", REG))
    server.files["x.tgz"] = hostile.read_bytes()
    monkeypatch.setitem(downloads.ARCHIVES, "Toy", (Archive(f"{server.url}/x.tgz", "info.txt"),))
    with pytest.raises(UnpackError, match="do not trust this archive"):
        download_corpus("Toy", tmp_path / "toy")
    assert not list(tmp_path.rglob("evil.txt")) and not (tmp_path / "toy" / "info.txt").exists()


def test_the_list_of_archives_is_well_formed():
    assert set(ARCHIVES) <= set(LAYOUT_OF_DATASET)
    lengths = {"md5": 32, "sha256": 64}
    for archives in ARCHIVES.values():
        assert len({archive.name for archive in archives}) == len(archives)
        for archive in archives:
            assert archive.url.startswith(("https://", "http://festvox.org/"))
            if archive.checksum:
                kind, _, digits = archive.checksum.partition(":")
                assert len(digits) == lengths[kind] and int(digits, 16)


def test_a_users_corpus_under_a_published_name_is_not_downloaded():
    assert is_downloadable("LJSpeech", "ljspeech") and is_downloadable("LJSpeech", "ljspeech_official")
    assert not is_downloadable("LJSpeech", "jsonl") and not is_downloadable("my_voice", "ljspeech")


def command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call("bins.download", "--config", config, *arguments, no_proxy="127.0.0.1")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_leads_nowhere_is_named_at_once(tmp_path, monkeypatch, scheme):
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://me:secret@127.0.0.1:9/")
    monkeypatch.setenv(f"{scheme}_proxy", "http://me:secret@127.0.0.1:9/")
    monkeypatch.setattr("urllib.request._opener", None)  # it read the environment when it was made
    way = r"no network \(through the proxy 127.0.0.1:9: .*refused\); bring the file by hand"
    with pytest.raises(DownloadError, match=way):
        download(f"{scheme}://example.invalid/a.bin", tmp_path / "a.bin", pause_s=99)


def test_a_way_on_which_nothing_answers_is_no_network(tmp_path, monkeypatch):
    def wait(address, timeout):
        assert timeout < 10
        raise TimeoutError("timed out")

    monkeypatch.setattr("socket.create_connection", wait)
    with pytest.raises(DownloadError, match=r"no network \(timed out\)"):
        download("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", pause_s=99)


@pytest.mark.slow
def test_the_command_downloads_published_corpora_and_skips_others(server, tmp_path):
    packed = tar_of(tmp_path / "a.tgz", ("data_aishell3/spk-info.txt", b"1", REG), ("data_aishell3/train/x", b"2", REG))
    server.files["data_aishell3.tgz"] = packed.read_bytes()
    config = tmp_path / "exp_config.json"
    paths = {"AISHELL-3": str(tmp_path / "aishell3"), "mine": str(tmp_path / "mine")}
    tree = {"base_config": "config/fastspeech2.json", "dataset": list(paths), "dataset_path": paths}
    config.write_text(json.dumps(tree | {"dataset_layout": {"mine": "ljspeech"}}))
    done = command(config, "--mirror", server.url)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "aishell3" / "train" / "x").read_bytes() == b"2"
    assert "mine: must be downloaded manually" in done.stdout and "is not there yet" in done.stdout
    server.files["LJSpeech-1.1.tar.bz2"] = b"another file"
    config.write_text(json.dumps({**tree, "dataset": ["LJSpeech"], "dataset_path": {"LJSpeech": str(tmp_path / "lj")}}))
    done = command(config, "--mirror", server.url)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: " in done.stderr and "is not the published file" in done.stderr
