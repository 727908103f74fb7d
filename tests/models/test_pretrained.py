"""The weights that come with the library: they are there, whole, described, and worth something."""

import hashlib
import json
import re
import shutil
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

import unfold
from unfold.cli import main
from unfold.degradation import blur, motion_kernel
from unfold.imaging import Photo, read, write
from unfold.models import pretrained
from unfold.models.pretrained import pretrained_models, with_weights
from unfold.models.weights import read_facts

SHIPPED = Path(pretrained.__file__).parent / "shipped"
NAMES = pretrained_models()
FOLDERS = sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir())


def psnr(image, target):
    return -10 * (image - target).square().mean().log10().item()


@pytest.fixture(scope="module")
def sharp():
    """A photo that no training has seen, at half its size."""
    data = pytest.importorskip("skimage.data")
    image = torch.from_numpy(data.astronaut()).float().permute(2, 0, 1)[None] / 255
    return torch.nn.functional.avg_pool2d(image, 2)


def model(name):
    try:
        for needed in read_facts(Path(with_weights({"kind": name})["folder"]))["needs"]:
            version(needed)
    except PackageNotFoundError as error:
        pytest.skip(f"the plugin {error.name} is not installed")
    return unfold.create_model(name, pretrained=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_files_are_whole_small_and_described(name):
    folder = SHIPPED / name
    data = (folder / "model.safetensors").read_bytes()
    assert len(data) <= 12 << 20
    facts = read_facts(folder)
    assert hashlib.sha256(data).hexdigest() == facts["sha256"]
    assert facts["model"]["kind"] == name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert facts["sha256"] in card
    for heading in ("Data and licenses", "Training", "Results", "Failures"):
        assert f"\n## {heading}\n" in card, heading
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", card)
    for picture in pictures:
        assert (folder / picture).is_file(), picture
    assert sum(f.stat().st_size for f in folder.iterdir() if f.suffix in (".jpg", ".png")) < 300_000


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_ready(name):
    loaded = model(name)
    assert not loaded.requires_training
    assert not loaded.training
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    told = {"kernel": torch.full((1, 1, 3, 3), 1 / 9)} if loaded.needs_kernel else {}
    photo = torch.rand(1, 3, 33, 47)
    with torch.no_grad():
        image = loaded(photo, **told).image
    assert image.shape == photo.shape
    assert image.isfinite().all()


def test_deblur_is_deconv_small_that_estimates_the_kernel():
    assert set(NAMES) == {*FOLDERS, "deblur"}
    blind, told = model("deblur").state_dict(), model("deconv-small").state_dict()
    assert blind.keys() == told.keys()
    assert all(torch.equal(blind[name], told[name]) for name in told)
    assert model("deblur").estimator.kernel_size == 31


def test_other_weights_than_those_described_are_refused(tmp_path, monkeypatch):
    shutil.copytree(SHIPPED, tmp_path / "shipped")
    monkeypatch.setattr(pretrained, "_SHIPPED", tmp_path / "shipped")
    unfold.create_model("deconv-small", pretrained=True)
    path = tmp_path / "shipped" / "deconv-small" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(unfold.ComponentError, match="is not the file that model.json describes"):
        unfold.create_model("deconv-small", pretrained=True)


def test_what_has_no_weights_says_so():
    with pytest.raises(unfold.ComponentError, match=r"no trained .*deconv-small.*jude-small"):
        unfold.create_model("jude", pretrained=True)
    with pytest.raises(unfold.ComponentError, match="jude-small -> era: "):
        unfold.create_model("jude-small -> era", pretrained=True)
    # Nothing is missing where nothing is learned.
    assert unfold.create_model("tv-deblur", pretrained=True).requires_training is False
    assert unfold.create_model("jude-small").requires_training is True


def test_options_that_change_no_weights_may_be_given():
    loaded = unfold.create_model("deconv-small", pretrained=True, noise=0.02)
    assert loaded.noise == 0.02
    with pytest.raises(unfold.ComponentError, match="do not fit another K: leave out K, or"):
        unfold.create_model("deconv-small", pretrained=True, K=4, noise=0.02)
    with pytest.raises(unfold.ComponentError, match="deconv-small: Kk: .*did you mean K"):
        unfold.create_model("deconv-small", pretrained=True, Kk=4)


def test_a_cascade_gets_the_weights_of_each():
    given = {"kind": "cascade", "models": ["identity", {"kind": "deconv-small", "noise": 0.1}]}
    found = with_weights(given)["models"]
    assert found[0] == {"kind": "identity"}
    assert found[1]["kind"] == "trained"
    assert found[1]["options"] == {"noise": 0.1}
    assert Path(found[1]["folder"]).name == "deconv-small"


def test_the_command_line_finds_them_without_a_network(tmp_path, sharp, monkeypatch):
    kernel = motion_kernel(9, generator=torch.Generator().manual_seed(0))
    write(tmp_path / "in.png", Photo(blur(sharp, kernel)[0]))
    import numpy as np

    np.save(tmp_path / "k.npy", kernel[0, 0].numpy())
    monkeypatch.setattr(socket.socket, "connect", None)
    monkeypatch.chdir(tmp_path)
    command = ["restore", "in.png", "-o", "out.png", "--device", "cpu", "--model", "deconv-small",
               "--kernel", "k.npy", "--set", "noise=0.003"]  # fmt: skip
    assert main(command) == 0
    bad, restored = (read(tmp_path / name).image[None] for name in ("in.png", "out.png"))
    assert psnr(restored, sharp) > psnr(bad, sharp) + 3


def test_a_report_names_the_weights(tmp_path, sharp):
    for name in ("input", "target"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.png", Photo(sharp[0, :, :40, :40]))
    (tmp_path / "kernel").mkdir()
    import numpy as np

    np.save(tmp_path / "kernel" / "a.npy", np.ones((1, 1)))
    command = ["evaluate", "--model", "deconv-small", "--data", str(tmp_path), "--dataset",
               "paired", "--set-data", "kernel=kernel", "--protocol", "gopro", "--device", "cpu",
               "-o", str(tmp_path / "r.json")]  # fmt: skip
    assert main(command) == 0
    told = json.loads((tmp_path / "r.json").read_text())["model"]
    facts = read_facts(SHIPPED / "deconv-small")
    assert told["inner_config"] == facts["model"]
    assert list(told["files"].values()) == [facts["sha256"]]


def dark(sharp, exposure, kernel, sigma):
    rng = torch.Generator().manual_seed(7)
    linear = exposure * sharp**2.2
    shaken = blur(linear, kernel).clamp_min(0) ** (1 / 2.2)
    return (shaken + sigma * torch.randn(sharp.shape, generator=rng)).clamp(0, 1)


@torch.inference_mode()
@pytest.mark.parametrize("exposure", [0.05, 0.25])
def test_jude_small_brightens_what_is_dark(sharp, exposure):
    kernel = motion_kernel(11, generator=torch.Generator().manual_seed(2))
    bad = dark(sharp, exposure, kernel, 0.005)
    restored = model("jude-small")(bad).image
    assert psnr(restored, sharp) > psnr(bad, sharp) + 8
    # It is calibrated: whatever the exposure was, the same brightness comes out.
    assert (restored.mean() / sharp.mean()).log().abs() < 0.15


@torch.inference_mode()
def test_jude_small_leaves_a_good_photo_alone(sharp):
    assert psnr(model("jude-small")(sharp).image, sharp) > 30


@torch.inference_mode()
@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_deconv_small_beats_total_variation(sharp, sigma):
    kernel = motion_kernel(17, generator=torch.Generator().manual_seed(3))
    rng = torch.Generator().manual_seed(4)
    bad = blur(sharp, kernel) + sigma * torch.randn(sharp.shape, generator=rng)
    bad = bad.clamp(0, 1)
    learned = model("deconv-small")(bad, kernel=kernel).image
    classic = unfold.create_model("tv-deblur")(bad, kernel=kernel).image
    assert psnr(learned, sharp) > psnr(classic, sharp) + 0.7


@torch.inference_mode()
def test_era_small_sharpens_what_is_out_of_focus(sharp):
    axis = torch.arange(-2, 3)
    disc = ((axis[:, None] ** 2 + axis**2) <= 5).float()
    kernel = (disc / disc.sum())[None, None]
    bad = blur(sharp**2.2, kernel).clamp_min(0) ** (1 / 2.2)
    assert psnr(model("era-small")(bad).image, sharp) > psnr(bad, sharp) + 1.5
