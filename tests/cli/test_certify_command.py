"""``unfold certify`` on photos, and without any."""

import numpy as np
import pytest
import torch

from unfold.cli import main
from unfold.imaging import Photo, write

FAST = ["--size", "24", "--set", "K=2"]
QUICK = ["--set", "prior=total-variation", "--set", "prior.iterations=1"]


@pytest.fixture
def photos(tmp_path):
    torch.manual_seed(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for size, path in zip((26, 40), paths, strict=True):
        write(path, Photo(torch.rand(3, size, 30)))
    return [str(path) for path in paths]


def rows(text):
    return {line[:25].strip(): line[27:].split() for line in text.splitlines() if line[0] != " "}


def test_photos_are_measured(photos, tmp_path, capsys):
    np.save(tmp_path / "k.npy", np.full((3, 3), 1 / 9))
    assert (
        main(["certify", "tv-deblur", *photos, "--kernel", str(tmp_path / "k.npy"), *FAST, *QUICK])
        == 0
    )
    found = rows(capsys.readouterr().out)
    assert found["contraction of a round"][0] == "measured"
    assert 0 < float(found["contraction of a round"][1]) < 2
    assert found["Lipschitz, prior on Z"][0] == "measured"
    assert found["descent of the Lagrangian"][0] == "measured"


def test_without_photos_proofs_alone_are_told(capsys):
    assert main(["certify", "tv-deblur", "--set", "prior=soft-threshold"]) == 0
    found = rows(capsys.readouterr().out)
    assert found["contraction of a round"][0] == "unknown"
    assert found["Lipschitz, prior on Z"][0] == "proven"


def test_a_model_without_rounds_or_without_its_kernel_is_refused(photos, capsys):
    assert main(["certify", "identity", photos[0]]) == 2
    assert "has no rounds" in capsys.readouterr().err
    assert main(["certify", "plug-and-play", photos[0], *FAST]) == 2
    assert "kernel" in capsys.readouterr().err
