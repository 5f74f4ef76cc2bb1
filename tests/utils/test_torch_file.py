"""Torch files are read without running code, and what is none is called what it is."""

from __future__ import annotations

import pytest
import torch

from utils.torch_file import TorchFileError, read_torch_file


def test_a_dictionary_of_tensors_is_read(tmp_path):
    torch.save({"weight": torch.ones(2), "steps": 3}, tmp_path / "good.pt")
    assert read_torch_file(tmp_path / "good.pt")["steps"] == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (None, "is cut short"),
        (b"no torch file", "holds more than tensors and numbers, or is damaged|is not a torch file"),
    ],
)
def test_what_is_no_torch_file_is_called_what_it_is(tmp_path, content, reason):
    path = tmp_path / "file.pt"
    torch.save({"weight": torch.ones(2000)}, path)
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(TorchFileError, match=f"file.pt: .*({reason})"):
        read_torch_file(path)


def test_a_missing_file_and_another_content_are_named(tmp_path):
    with pytest.raises(TorchFileError, match="there is no such file"):
        read_torch_file(tmp_path / "none.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(TorchFileError, match="holds a list, not a dictionary"):
        read_torch_file(tmp_path / "list.pt")
