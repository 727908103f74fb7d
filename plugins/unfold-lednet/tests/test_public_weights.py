"""Weights in the layout of the public release, made here at random.

The reference evaluates the network straight from the released names, so that no two entries of
one shape can be swapped without being noticed.
"""

import hashlib
import json
import math
import os
import re

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F
from unfold_lednet import LEDNet, lednet_small

import unfold
from unfold.cli import main


def layout():
    """Name -> shape of the release's 201 entries."""
    found = {}

    def conv(name, inputs, outputs, size, bias=True):
        found[f"{name}.weight"] = (outputs, inputs, size, size)
        if bias:
            found[f"{name}.bias"] = (outputs,)

    def residual(name, c, decoder):
        for body, last in (("body1", True), ("body2", decoder)):
            conv(f"{name}.{body}.0", c, c, 3)
            found[f"{name}.{body}.1.weight"] = (1,)
            if last:
                conv(f"{name}.{body}.2", c, c, 3)

    def reshape(name, inputs, outputs, down):
        conv(f"{name}.top.0", inputs, inputs, 1, bias=False)
        conv(f"{name}.top.2", inputs, inputs, 3, bias=False)
        found[f"{name}.top.1.weight"] = found[f"{name}.top.3.weight"] = (1,)
        conv(f"{name}.top.{5 if down else 4}", inputs, outputs, 1, bias=False)
        conv(f"{name}.bot.1", inputs, outputs, 1, bias=False)
        if down:
            found[f"{name}.top.4.filt"] = found[f"{name}.bot.0.filt"] = (inputs, 1, 3, 3)

    conv("E_block1.0", 3, 32, 3)
    found["E_block1.1.weight"] = (1,)
    for n, (name, fine, c) in enumerate(
        (("E_block1.2", 32, 64), ("E_block2", 64, 128), ("E_block3", 128, 128)), 1
    ):
        residual(name, fine, decoder=False)
        reshape(f"{name}.reshape_conv", fine, c, down=True)
        for i in range(4):
            conv(f"PPM{n}.features.{i}.1", c, c // 4, 1, bias=False)
            found[f"PPM{n}.features.{i}.2.weight"] = (1,)
        conv(f"PPM{n}.fuse.0", 2 * c, c, 3, bias=False)
        found[f"PPM{n}.fuse.1.weight"] = (1,)
        for i, (outputs, size) in enumerate(((c, 5), (c, 3), (3, 1))):
            conv(f"conv_{n}c.predict_a.{2 * i}", c, outputs, size)
        for i, (outputs, size) in enumerate(((c, 3), (c, 3), (c, 3), (25 * c, 1))):
            conv(f"conv_fac_k{n}.{2 * i}", c, outputs, size)
    conv("side_out", 128, 3, 3)
    residual("M_block1", 128, decoder=False)
    residual("M_block2", 128, decoder=False)
    residual("D_block3", 128, decoder=True)
    for name, coarse, c in (("2", 128, 128), ("1", 128, 64), ("0.0", 64, 32)):
        reshape(f"D_block{name}.reshape_conv", coarse, c, down=False)
        residual(f"D_block{name}", c, decoder=True)
    conv("D_block0.1", 32, 3, 3)
    return found


def made(seed=0):
    """A state dict whose every entry matters: variances are kept, outputs lie mostly in (0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in layout().items():
        value = torch.rand(shape, generator=generator)
        if name.endswith(".filt"):
            line = torch.tensor([1.0, 2.0, 1.0])
            value = (torch.outer(line, line) / 16).expand(shape).clone()
        elif len(shape) == 4:
            value = (2 * value - 1) * math.sqrt(3 / math.prod(shape[1:]))
        else:
            value = 0.1 + 0.3 * value
        state[name] = value
    state["D_block0.1.weight"] *= 0.002
    state["D_block0.1.bias"] += 0.2
    state["side_out.weight"] *= 0.2
    return state


def reference(state, x):
    """LEDNet by PAPERS' formulas under the release's names: side output and image, unclipped."""
    w = {name: value.to(x) for name, value in state.items()}

    def conv(name, x):
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, w.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def prelu(name, x):
        return torch.where(x > 0, x, w[f"{name}.weight"] * x)

    def body(name, x):
        return conv(f"{name}.2", prelu(f"{name}.1", conv(f"{name}.0", x)))

    def encode(name, x):
        x = x + body(f"{name}.body1", x)
        return prelu(f"{name}.body2.1", conv(f"{name}.body2.0", x))

    def decode(name, x):
        x = x + body(f"{name}.body1", x)
        return x + body(f"{name}.body2", x)

    def halve(name, x):
        filt = w[f"{name}.filt"]
        return F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), filt, stride=2, groups=len(filt))

    def down(name, x):
        top = prelu(f"{name}.top.1", conv(f"{name}.top.0", x))
        top = prelu(f"{name}.top.3", conv(f"{name}.top.2", top))
        top = conv(f"{name}.top.5", halve(f"{name}.top.4", top))
        return top + conv(f"{name}.bot.1", halve(f"{name}.bot.0", x))

    def up(name, x):
        top = prelu(f"{name}.top.1", conv(f"{name}.top.0", x))
        top = F.conv_transpose2d(
            top, w[f"{name}.top.2.weight"], stride=2, padding=1, output_padding=1
        )
        top = conv(f"{name}.top.4", prelu(f"{name}.top.3", top))
        large = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return top + conv(f"{name}.bot.1", large)

    def pool(name, x):
        seen = [x]
        for i, bins in enumerate((1, 2, 3, 6)):
            small = conv(f"{name}.features.{i}.1", F.adaptive_avg_pool2d(x, bins))
            small = prelu(f"{name}.features.{i}.2", small)
            seen.append(F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=True))
        return prelu(f"{name}.fuse.1", conv(f"{name}.fuse.0", torch.cat(seen, 1)))

    def curve(name, x):
        a = F.relu(conv(f"{name}.predict_a.0", x))
        a = torch.sigmoid(conv(f"{name}.predict_a.4", F.relu(conv(f"{name}.predict_a.2", a))))
        x = x.clamp(0, 1)
        for n in range(3):
            x = x + a[:, n : n + 1] * x * (1 - x)
        return x

    def fac(name, x, guide):
        for layer in (0, 2, 4):
            guide = F.relu(conv(f"{name}.{layer}", guide))
        filters = conv(f"{name}.6", guide).unflatten(1, (-1, 25))
        seen = F.unfold(F.pad(x, (2,) * 4, mode="replicate"), 5).view_as(filters)
        return F.leaky_relu((filters * seen).sum(2), 0.2)

    x = prelu("E_block1.1", conv("E_block1.0", x))
    found = []
    for n, name in enumerate(("E_block1.2", "E_block2", "E_block3"), 1):
        x = curve(f"conv_{n}c", pool(f"PPM{n}", down(f"{name}.reshape_conv", encode(name, x))))
        found.append(x)
    side = conv("side_out", x)
    x = encode("M_block2", encode("M_block1", x))
    x = fac("conv_fac_k3", decode("D_block3", x), found[2])
    for n in (2, 1):
        x = decode(f"D_block{n}", up(f"D_block{n}.reshape_conv", x))
        x = fac(f"conv_fac_k{n}", x, found[n - 1])
    x = decode("D_block0.0", up("D_block0.0.reshape_conv", x))
    return side, conv("D_block0.1", x)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    file = tmp_path_factory.mktemp("released") / "lednet.pth"
    torch.save({"params": made()}, file)
    return file


@pytest.fixture(scope="module")
def converted(released):
    file = released.with_name("lednet.safetensors")
    assert main(["convert", "lednet", str(released), "-o", str(file)]) == 0
    return file


def test_the_layout_has_as_many_entries_and_parameters_as_the_release():
    shapes = layout()
    assert len(shapes) == 201
    learned = (math.prod(s) for name, s in shapes.items() if not name.endswith(".filt"))
    assert sum(learned) == 7_408_893


@torch.no_grad()
@pytest.mark.parametrize("low", [0, -1])
def test_the_network_is_the_reference_under_the_released_names(released, low):
    model = LEDNet(range=(low, 1)).double()
    model.load_state_dict(model.convert_state_dict(torch.load(released)))
    photo = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    raw = reference(made(), low + (1 - low) * photo)
    side, image = ((x - low) / (1 - low) for x in raw)
    assert ((image > 0) & (image < 1)).double().mean() > 0.5  # else clipping would hide much
    assert ((side > 0) & (side < 1)).double().mean() > 0.25
    got = model(photo)
    torch.testing.assert_close(got.image, image.clamp(0, 1), rtol=0, atol=1e-10)
    torch.testing.assert_close(got.parts["enhanced"], side.clamp(0, 1), rtol=0, atol=1e-10)


def test_every_entry_matters_to_the_reference():
    """Or a wrong name for it would not be noticed."""
    state = {name: value.double().requires_grad_() for name, value in made().items()}
    side, image = reference(state, torch.rand(1, 3, 24, 24, dtype=torch.float64))
    (side.square().sum() + image.square().sum()).backward()
    assert [name for name, value in state.items() if not value.grad.any()] == []


def test_what_the_header_tells(released, converted):
    with safe_open(converted, framework="pt") as file:
        about = json.loads(file.metadata()["unfold"])
    assert about["spec"]["kind"] == "lednet"
    assert about["spec"]["range"] == [0.0, 1.0]
    assert about["provider"] == "unfold-lednet 0.1.0"
    digest = hashlib.sha256(released.read_bytes()).hexdigest()
    assert about["source"] == {"file": "lednet.pth", "sha256": digest}
    assert os.listdir(converted.parent).count("lednet.safetensors") == 1
    assert len(os.listdir(converted.parent)) == 2  # nothing else is left beside it


@torch.no_grad()
def test_a_model_by_name_with_weights(converted, tmp_path):
    model = unfold.create_model("lednet", weights=converted)
    assert not model.requires_training
    photo = torch.rand(1, 3, 16, 16)
    image = reference(made(), photo)[1].clamp(0, 1)
    torch.testing.assert_close(model(photo).image, image, rtol=0, atol=1e-4)
    assert LEDNet().requires_training


def test_restore_takes_the_weights(converted, tmp_path, capsys):
    from unfold.imaging import Photo, write

    photo = tmp_path / "dark.png"
    write(photo, Photo(0.2 * torch.rand(3, 20, 24)))
    arguments = ["restore", str(photo), "-o", str(tmp_path / "out.png"), "--model", "lednet"]
    assert main(arguments) == 2
    assert "no trained weights" in capsys.readouterr().err
    assert main([*arguments, "--device", "cpu", "--set", f"weights={converted}"]) == 0
    assert (tmp_path / "out.png").exists()


def test_weights_for_other_options_are_refused(converted):
    with pytest.raises(unfold.ComponentError, match=r"is for range=\[0.0, 1.0\], not \[-1, 1\]"):
        LEDNet(weights=converted, range=(-1, 1))
    with pytest.raises(unfold.ComponentError, match=r"is for widths=.*set the same"):
        lednet_small(weights=converted)


def test_a_damaged_file_is_refused(converted, tmp_path):
    data = bytearray(converted.read_bytes())
    data[-1] ^= 1
    (tmp_path / "bad.safetensors").write_bytes(data)
    with pytest.raises(unfold.ComponentError, match=r"bad\.safetensors is damaged"):
        LEDNet(weights=tmp_path / "bad.safetensors")
    (tmp_path / "short.safetensors").write_bytes(data[:1000])
    for name in ("short.safetensors", "nowhere.safetensors"):
        with pytest.raises(unfold.ComponentError, match=rf"{name}: no weights can be read"):
            LEDNet(weights=tmp_path / name)


def without(state, name):
    return {n: v for n, v in state.items() if n != name}


class Harm:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


WRONG = {
    "missing": (
        lambda s: {"params": without(s, "D_block1.body2.2.bias")},
        r"1 missing: D_block1\.body2\.2\.bias$",
    ),
    "unexpected": (lambda s: {**s, "G.weight": torch.ones(1)}, r"1 unexpected: G\.weight$"),
    "misshapen": (
        lambda s: {**s, "side_out.bias": torch.ones(4)},
        r"1 misshapen: side_out\.bias \(needs \(3,\), got \(4,\)\)$",
    ),
    "all three": (
        lambda s: {**without(s, "E_block1.0.bias"), "a": 1, "PPM1.fuse.1.weight": 0.25},
        r"1 missing: E_block1\.0\.bias; 1 unexpected: a; 1 misshapen: PPM1\.fuse\.1\.weight "
        r"\(needs \(1,\), got float\)$",
    ),
    "many": (lambda s: {"params": {}}, r"195 missing: E_block1\.0\.weight, .* and 191 more$"),
    "another filter": (
        lambda s: {**s, "E_block2.reshape_conv.bot.0.filt": torch.ones(64, 1, 3, 3) / 9},
        r"E_block2\.reshape_conv\.bot\.0\.filt must be the kernel",
    ),
    "no state dict": (lambda s: [1, 2], r"must hold a state dict, got a list$"),
    "no state dict inside": (
        lambda s: {"params": 3},
        r"'params' must hold a state dict, got a int",
    ),
    "objects": (lambda s: {**s, "side_out.bias": Harm()}, r"no file of plain tensors"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, message = WRONG[case]
    torch.save(change(made()), "wrong.pth")
    assert main(["convert", "lednet", "wrong.pth", "-o", "out.safetensors"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unfold: wrong.pth")
    assert re.search(message, line)
    assert os.listdir() == ["wrong.pth"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lednet", "nowhere.pth", "out.safetensors"], "nowhere.pth: cannot be read"),
        (["lednet", "noise.pth", "out.safetensors"], "noise.pth is no file of plain tensors"),
        (["lednet", "noise.pth", "out.pth"], "must end in .safetensors"),
        (["lednet", "noise.pth", "there.safetensors"], "there.safetensors exists"),
        (["lednet", "noise.pth", "no/out.safetensors"], "the folder no does not exist"),
        (["jude-classic", "noise.pth", "out.safetensors"], "jude-classic has no converter"),
        (["lednt", "noise.pth", "out.safetensors"], "did you mean lednet"),
    ],
)
def test_wrong_commands(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise.pth").write_bytes(b"no weights")
    (tmp_path / "there.safetensors").write_bytes(b"precious")
    assert main(["convert", *arguments[:-1], "-o", arguments[-1]]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.safetensors").read_bytes() == b"precious"
    assert sorted(os.listdir()) == ["noise.pth", "there.safetensors"]


def test_a_full_disk_leaves_nothing(released, tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["convert", "lednet", str(released), "-o", str(tmp_path / "out.safetensors")]) == 2
    assert "cannot be written (No space left on device)" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
