"""Weights in the layout of the public release, made here, and what the authors' program makes of
them."""

import json
import math
import os
import re

import pytest
import torch
from safetensors import safe_open
from unfold_iat import IAT

import unfold
from unfold.cli import main
from unfold.testing import checks

# Pixels (0, 5, 10) × (0, 6, 13) of both images: the authors' IAT_main.py, blocks.py and
# global_net.py, run with `made()` on `photo()`.
AUTHORS = [
    0.90757, 0.52328, 0.73683, 0.56218, 0.62359, 0.83739, 0.452, 0.52925, 0.98393, 0.94068,
    0.56352, 0.62821, 0.7447, 1.0, 0.30788, 0.51218, 0.75066, 0.69836, 0.67549, 0.91335, 0.29901,
    0.87768, 0.37643, 0.71466, 0.42177, 0.95853, 0.50499, 0.89645, 0.50756, 0.88993, 0.91222,
    0.79703, 0.80337, 0.98652, 0.53401, 0.92977, 0.72347, 0.52047, 0.70969, 0.63626, 0.85295,
    0.62464, 0.90695, 0.58595, 0.86542, 0.49402, 0.68045, 0.49509, 0.65737, 0.55436, 0.45033,
    0.8589, 0.17907, 0.5893,
]  # fmt: skip
GAMMA = [0.6510, 0.6471]


def layout():
    """Name -> shape of the release's entries."""
    found = {"local_net.conv1.weight": (16, 3, 3, 3), "local_net.conv1.bias": (16,)}
    for branch in ("mul", "add"):
        for i in range(3):
            block = f"local_net.{branch}_blocks.{i}"
            for norm in ("norm1", "norm2"):
                found |= {f"{block}.{norm}.{name}": (1, 1, 16) for name in ("alpha", "beta")}
                found[f"{block}.{norm}.color"] = (16, 16)
            found |= {f"{block}.gamma_{n}": (1, 16, 1, 1) for n in (1, 2)}
            for name, shape in {
                "pos_embed": (16, 1, 3, 3), "attn": (16, 1, 5, 5), "conv1": (16, 16, 1, 1),
                "conv2": (16, 16, 1, 1), "mlp.fc1": (64, 16, 1, 1), "mlp.fc2": (16, 64, 1, 1),
            }.items():  # fmt: skip
                found |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        found[f"local_net.{branch}_end.0.weight"] = (3, 16, 3, 3)
        found[f"local_net.{branch}_end.0.bias"] = (3,)
    whole = {
        "conv_large.proj.0": (32, 3, 3, 3), "conv_large.proj.1": (32,),
        "conv_large.proj.3": (64, 32, 3, 3), "conv_large.proj.4": (64,),
        "generator.pos_embed": (64, 1, 3, 3), "generator.norm1": (64,), "generator.norm2": (64,),
        "generator.attn.proj": (64, 64), "generator.mlp.fc1": (256, 64),
        "generator.mlp.fc2": (64, 256), "gamma_linear": (1, 64), "color_linear": (1, 64),
    }  # fmt: skip
    for name, shape in whole.items():
        found |= {f"global_net.{name}.weight": shape, f"global_net.{name}.bias": shape[:1]}
    for name, width in (("proj.1", 32), ("proj.4", 64)):
        norm = f"global_net.conv_large.{name}"
        found |= {f"{norm}.running_mean": (width,), f"{norm}.running_var": (width,)}
        found[f"{norm}.num_batches_tracked"] = ()
    found |= {f"global_net.generator.attn.{name}.weight": (64, 64) for name in "kv"}
    found["global_net.generator.attn.q"] = (1, 10, 64)
    return found | {"global_net.gamma_base": (1,), "global_net.color_base": (3, 3)}


def made():
    """Values by a formula, so that any program makes the same."""
    return {
        name: values(name, shape, n) for n, (name, shape) in enumerate(sorted(layout().items()))
    }


def values(name, shape, n):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    wave = waves(shape, n)
    if name.endswith("running_var"):
        return 1 + 0.5 * wave
    if name.endswith(("color", "color_base")):
        return torch.eye(shape[0]) + 0.1 * wave
    if "_linear" in name or "_end" in name:  # so that few values leave [0, 1]
        return 0.02 * wave + ("mul_end.0.bias" in name)
    fan = math.prod(shape[1:])
    if len(shape) in (2, 4) and fan > 1:  # the filters of a layer
        return 1.5 * wave / fan**0.5
    center = 1.0 if name.endswith(("alpha", "gamma_base")) or ".norm" in name else 0.0
    return center + 0.3 * wave


def waves(shape, phase):
    count = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.7 * count**1.1 + phase).reshape(shape).float()


def photo():
    return 0.3 + 0.25 * waves((2, 3, 11, 14), 0.2)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    file = tmp_path_factory.mktemp("released") / "best_Epoch_lol_v1.pth"
    torch.save(made(), file)
    return file


@pytest.fixture(scope="module")
def converted(released):
    file = released.with_name("iat.safetensors")
    assert main(["convert", "iat", str(released), "-o", str(file)]) == 0
    return file


@pytest.mark.parametrize("check", checks("models", IAT, name="iat"), ids=str)
def test_conformance(check):
    check()


@torch.no_grad()
def test_what_the_authors_program_makes(converted):
    model = IAT(weights=converted).eval()
    assert not model.requires_training
    restored = model(photo())
    got = restored.image[:, :, [0, 5, 10]][..., [0, 6, 13]].flatten()
    torch.testing.assert_close(got, torch.tensor(AUTHORS), rtol=0, atol=1e-5)
    gamma = restored.parts["gamma"].flatten()
    torch.testing.assert_close(gamma, torch.tensor(GAMMA), rtol=0, atol=1e-4)


def test_every_entry_matters():
    """Or a wrong name for it would not be noticed."""
    model = IAT().eval()
    model.load_state_dict(model.convert_state_dict(made()))
    model(photo()).image.square().sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.any()] == []


def test_the_release_has_as_many_parameters():
    """The paper's 91.15 thousand."""
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    learned = (math.prod(s) for name, s in layout().items() if not name.endswith(buffers))
    assert sum(learned) == sum(p.numel() for p in IAT().parameters()) == 91_154


@torch.no_grad()
def test_parts(converted):
    restored = IAT(weights=converted).eval()(photo())
    parts = restored.parts
    assert parts["color"].shape == (2, 3, 3, 1)
    assert parts["gain"].min() >= 0
    assert parts["offset"].abs().max() <= 1
    x = parts["gain"] * photo() + parts["offset"]
    mixed = (parts["color"][..., 0] @ x.flatten(2)).view_as(x)
    expected = mixed.clamp(1e-8, 1) ** parts["gamma"]
    torch.testing.assert_close(restored.image, expected)


@torch.no_grad()
def test_by_name_and_on_a_photo(converted, tmp_path):
    from unfold.imaging import Photo, write

    with safe_open(converted, framework="pt") as file:
        assert json.loads(file.metadata()["unfold"])["source"]["file"] == "best_Epoch_lol_v1.pth"
    model = unfold.create_model("iat", weights=converted).eval()
    assert not model.requires_training
    write(tmp_path / "dark.png", Photo(photo()[0]))
    arguments = ["restore", str(tmp_path / "dark.png"), "-o", str(tmp_path / "out.png")]
    arguments += ["--model", "iat", "--device", "cpu", "--set", f"weights={converted}"]
    assert main(arguments) == 0
    assert (tmp_path / "out.png").exists()


WRONG = {
    "missing": (
        lambda s: {n: v for n, v in s.items() if n != "global_net.generator.attn.q"},
        r"1 missing: global_net\.generator\.attn\.q$",
    ),
    "unexpected": (lambda s: {**s, "G.weight": torch.ones(1)}, r"1 unexpected: G\.weight$"),
    "misshapen": (
        lambda s: {**s, "local_net.conv1.weight": torch.ones(16, 4, 3, 3)},
        r"1 misshapen: local_net\.conv1\.weight \(needs \(16, 3, 3, 3\), got \(16, 4, 3, 3\)\)$",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_network_is_refused(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, message = WRONG[case]
    torch.save(change(made()), "wrong.pth")
    assert main(["convert", "iat", "wrong.pth", "-o", "out.safetensors"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unfold: wrong.pth does not fit iat: ")
    assert re.search(message, line)
    assert os.listdir() == ["wrong.pth"]
