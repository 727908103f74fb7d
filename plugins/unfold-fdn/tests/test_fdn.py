"""Weights in the layout of the public release, made here, and what the authors' program makes of
them."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors import safe_open
from unfold_fdn import FDN
from unfold_fdn.edgetaper import odd
from unfold_fdn.stage import cosines

import unfold
from unfold.cli import main
from unfold.testing import checks

h5py = pytest.importorskip("h5py")

# Pixels (0, 4, 8) × (0, 3, 7) of the three stages' results: the authors' layers.py, model.py and
# edgetaper, run by TensorFlow 2.21 with `made(3)` on `photo()` and `kernel()`, sigma 2.5 of 255.
AUTHORS = [
    [0.20313, 0.18853, 0.19224, 0.18227, 0.19024, 0.20614, 0.21082, 0.19692, 0.19364,
     0.23602, 0.1822, 0.14764, 0.25361, 0.26387, 0.17787, 0.23889, 0.23575, 0.19641,
     0.19786, 0.17703, 0.19087, 0.21417, 0.18792, 0.17524, 0.18225, 0.181, 0.2121],
    [0.38342, 0.38791, 0.39487, 0.41602, 0.41606, 0.41174, 0.36153, 0.35708, 0.36027,
     0.42394, 0.40851, 0.41373, 0.45936, 0.4677, 0.47709, 0.3978, 0.39649, 0.40528,
     0.41915, 0.39166, 0.38087, 0.44166, 0.44654, 0.43237, 0.37193, 0.36816, 0.38068],
    [0.16772, 0.16871, 0.17238, 0.15989, 0.15875, 0.15864, 0.14749, 0.14288, 0.14283,
     0.18813, 0.19254, 0.19331, 0.1716, 0.17629, 0.1847, 0.15549, 0.15639, 0.16417,
     0.19932, 0.18218, 0.17101, 0.17707, 0.17149, 0.17151, 0.15184, 0.14507, 0.15329],
]  # fmt: skip


def waves(shape, phase):
    return np.sin(0.7 * np.arange(np.prod(shape)) ** 1.1 + phase).reshape(shape)


def made(stages):
    """Arrays as the release names them, stage by stage; any program makes the same."""
    shapes = {"dense1": (1, 16), "dense2": (16, 16), "dense3": (16, 16), "lambda": (16, 1)}
    shapes |= {f"conv{i}": (3, 3, 1 if i == 1 else 32, 1 if i == 6 else 32) for i in range(1, 7)}
    found = {}
    for t in range(stages):
        for name, shape in shapes.items():
            fan = np.prod(shape[:-1])
            found[t, f"{name}/kernel:0"] = waves(shape, len(found)) * 1.5 / fan**0.5
            found[t, f"{name}/bias:0"] = waves(shape[-1:], len(found)) / 10
        filters = 0.3 * np.eye(24) + 0.05 * waves((24, 24), len(found))
        found[t, "x_out/filter_weights:0"] = filters
    return {name: array.astype("float32") for name, array in found.items()}


def photo():
    image = torch.as_tensor(0.5 + 0.4 * waves((9, 8, 3), 0.3), dtype=torch.float32)
    return image.permute(2, 0, 1)[None]


def kernel():
    k = torch.as_tensor(1 + waves((3, 5), 0.1), dtype=torch.float32)
    return (k / k.sum())[None, None]


def write(file, arrays, numbered=False):
    """As Keras 2 writes a stack of models: a group for each layer, the arrays' paths within it.

    Where a name occurs again it gives it a number (``numbered``) or not, by its version.
    """
    stages = sorted({t for t, _ in arrays})
    with h5py.File(file, "w") as opened:
        groups = {"x_in": [], **{f"model_{t + 1}": [] for t in stages}, "s": []}
        opened.attrs["layer_names"] = [name.encode() for name in groups]
        for (t, name), array in arrays.items():
            layer, _, entry = name.partition("/")
            path = f"{layer}_{t}/{entry}" if numbered and t else name
            opened[f"model_{t + 1}/{path}"] = array
            groups[f"model_{t + 1}"].append(path.encode())
        for name, paths in groups.items():
            opened.require_group(name).attrs["weight_names"] = paths


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    file = tmp_path_factory.mktemp("released") / "stages_01-03_finetuned.hdf5"
    write(file, made(3))
    return file


@pytest.fixture(scope="module")
def converted(released):
    file = released.with_name("fdn.safetensors")
    assert main(["convert", "fdn", str(released), "-o", str(file), "--set", "stages=3"]) == 0
    return file


@pytest.mark.parametrize("check", checks("models", lambda: FDN(stages=2), name="fdn"), ids=str)
def test_conformance(check):
    torch.manual_seed(0)
    check()


@torch.no_grad()
def test_what_the_authors_program_makes(converted):
    model = FDN(weights=converted, stages=3)
    noise = torch.full((1, 1, 1, 1), 2.5 / 255)
    restored = model(photo(), kernel=kernel(), measurements={"noise": noise})
    for t, want in enumerate(AUTHORS, 1):
        got = restored.parts[f"x_{t}"][0][:, [0, 4, 8]][:, :, [0, 3, 7]].permute(1, 2, 0)
        torch.testing.assert_close(got.flatten(), torch.tensor(want), rtol=0, atol=2e-5)
    torch.testing.assert_close(restored.image, restored.parts["x_3"])


@torch.no_grad()
def test_numbered_names_are_the_same(converted, tmp_path):
    write(tmp_path / "numbered.hdf5", made(3), numbered=True)
    model = FDN(stages=3)
    state = model.convert_state_dict(model.read_released((tmp_path / "numbered.hdf5").read_bytes()))
    for name, value in FDN(weights=converted, stages=3).state_dict().items():
        assert torch.equal(state[name], value), name


def test_the_release_has_as_many_parameters():
    assert sum(array.size for array in made(10).values()) == 387_700
    assert sum(p.numel() for p in FDN().parameters()) == 387_700


def test_the_header_and_the_model_by_name(converted):
    with safe_open(converted, framework="pt") as file:
        about = json.loads(file.metadata()["unfold"])
    assert about["spec"]["levels"] == [0.1, 12.75]
    assert about["source"]["file"] == "stages_01-03_finetuned.hdf5"
    assert not unfold.create_model("fdn", weights=converted, stages=3).requires_training
    with pytest.raises(unfold.ComponentError, match=r"is for levels=\[0.1, 12.75\], not \[1"):
        FDN(weights=converted, stages=3, levels=(1, 3))
    with pytest.raises(unfold.ComponentError, match="is for stages=3, not 10"):
        FDN(weights=converted)


@torch.no_grad()
def test_noise_is_clipped_to_what_was_trained(converted):
    model = FDN(weights=converted, stages=3, levels=(0.1, 12.75))

    def restored(level):
        noise = torch.full((1, 1, 1, 1), level / 255)
        return model(photo(), kernel=kernel(), measurements={"noise": noise}).image

    assert torch.equal(restored(30.0), restored(12.75))
    assert not torch.equal(restored(6.0), restored(12.75))


@torch.no_grad()
def test_images_kernels_and_noise_of_a_batch_are_apart():
    torch.manual_seed(0)
    model = FDN(stages=2)
    for parameter in model.parameters():  # or the start, a Wiener filter, would know no noise
        parameter.add_(0.1 * torch.randn_like(parameter))
    photos, kernels = torch.rand(2, 3, 14, 12), torch.rand(2, 1, 4, 3)
    kernels /= kernels.sum((2, 3), keepdim=True)
    noise = torch.tensor([0.005, 0.03]).view(2, 1, 1, 1)
    both = model(photos, kernel=kernels, measurements={"noise": noise}).image
    for i in range(2):
        one = slice(i, i + 1)
        alone = model(photos[one], kernel=kernels[one], measurements={"noise": noise[one]}).image
        torch.testing.assert_close(both[one], alone)
    gray = model(photos[:, :1], kernel=kernels, measurements={"noise": noise}).image
    torch.testing.assert_close(gray, both[:, :1])


def test_an_even_kernel_keeps_its_center():
    k = torch.rand(1, 1, 4, 6)
    larger = odd(k)
    assert larger.shape == (1, 1, 5, 7)
    assert larger[0, 0, 2, 3] == k[0, 0, 2, 3]
    assert torch.equal(odd(k[..., :3, :5]), k[..., :3, :5])
    assert odd(k, (1, 1), least=5).shape == (1, 1, 5, 7)
    point = odd(torch.ones(1, 1, 1, 1), (2, 3), least=5)
    assert point.shape == (1, 1, 5, 3)  # 2 + 5 − 1 = 6, 3 + 3 − 1 = 5
    assert point[0, 0, 2, 1] == point.sum() == 1


def test_the_cosines():
    basis = cosines(5).view(24, 25).double()
    torch.testing.assert_close(basis @ basis.T, torch.eye(24).double(), rtol=0, atol=1e-6)
    assert basis.sum(1).abs().max() < 1e-6
    torch.testing.assert_close(cosines(5)[0].view(5, 5).std(1), torch.zeros(5), atol=1e-6, rtol=0)


def changed(**arrays):
    return {**made(3), **{(0, name): array for name, array in arrays.items()}}


WRONG = {
    "stages": (made(2), r"does not fit fdn: 21 missing: 3\.\w+"),
    "misshapen": (
        {**made(3), (0, "conv2/kernel:0"): np.ones((3, 3, 32, 16), "float32")},
        r"1 misshapen: 1\.conv2\.weight \(needs \(32, 32, 3, 3\), got \(16, 32, 3, 3\)\)",
    ),
    "unexpected": (
        {**made(3), (1, "bn/gamma:0"): np.ones(3, "float32")},
        r"1 unexpected: 2\.bn/gamma:0",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_network_is_refused(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays, message = WRONG[case]
    write("wrong.hdf5", arrays)
    arguments = ["convert", "fdn", "wrong.hdf5", "-o", "out.safetensors", "--set", "stages=3"]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(line)
    assert os.listdir() == ["wrong.hdf5"]


def test_no_such_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.hdf5").write_bytes(b"no weights")
    with h5py.File("other.hdf5", "w") as file:
        file["x"] = [1.0]
    for name in ("noise.hdf5", "other.hdf5"):
        assert main(["convert", "fdn", name, "-o", "out.safetensors"]) == 2
        assert f"{name} is no HDF5 file of Keras weights" in capsys.readouterr().err
    assert main(["convert", "fdn", "nowhere.hdf5", "-o", "out.safetensors"]) == 2
    assert "nowhere.hdf5: cannot be read" in capsys.readouterr().err
