"""``unfold kernel``: files, what it prints, what it refuses."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from unfold.cli import main
from unfold.degradation import blur, motion_kernel
from unfold.imaging import Photo, read, write
from unfold.restoration import read_kernel


@pytest.fixture
def shaken(tmp_path):
    sharp = torch.from_numpy(astronaut()[:192, 100:292].copy()).permute(2, 0, 1)[None] / 255
    kernel = motion_kernel(11, generator=torch.Generator().manual_seed(1)).float()
    write(tmp_path / "shaken.png", Photo(blur(sharp, kernel)[0].clamp(0, 1)))
    return tmp_path / "shaken.png"


def test_the_kernel_is_written_and_told(shaken, tmp_path, capsys):
    output, picture = tmp_path / "k.npy", tmp_path / "k.png"
    command = ["kernel", str(shaken), "-o", str(output), "--picture", str(picture), "--size", "15"]
    assert main(command) == 0
    kernel = np.load(output)
    n = kernel.shape[0]
    assert n % 2 == 1
    assert 3 < n <= 15
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(read_kernel(output)[0, 0], torch.from_numpy(kernel / kernel.sum()))
    drawn = read(picture)
    assert drawn.gray
    assert drawn.image.shape == (3, n, n)
    assert drawn.image.max() == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{output}: {n}×{n}, ")
    assert "halves agree by 0." in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png", "-o", "k.npy"], "none.png"),
        (["PHOTO", "-o", "k.png"], "use a name that ends in .npy"),
        (["PHOTO", "-o", "k.npy", "--picture", "k.bmp"], "k.bmp"),
        (["PHOTO", "-o", "nowhere/k.npy", "--size", "9"], "nowhere"),
    ],
)
def test_what_cannot_be_done_leaves_no_file(
    shaken, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["kernel", *(str(shaken) if a == "PHOTO" else a for a in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_sizes_are_odd(capsys):
    with pytest.raises(SystemExit):
        main(["kernel", "photo.png", "-o", "k.npy", "--size", "20"])
    assert "must be an odd number from 3 to 255, got '20'" in capsys.readouterr().err
