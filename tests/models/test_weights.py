"""Learned weights in files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import unfold
from unfold.cli import main
from unfold.imaging import Photo, read, write
from unfold.models.weights import load_model, save_model
from unfold.registry.spec import resolve

SPEC = {"kind": "jude-small", "K": 1, "kernel_estimator": {"kind": "kernel", "size": 5},
        "denoiser": None, "prior": {"kind": "resunet", "widths": [4]}}  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    spec = resolve("models", SPEC)
    model = spec.build()
    folder = tmp_path / "model"
    save_model(folder, model.state_dict(), spec, needs={"unfold-imaging": "0.1.0"})
    return folder, model


def change(folder, **facts):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_the_same_model_comes_back(saved):
    folder, model = saved
    assert model.requires_training
    loaded = load_model(folder)
    assert not loaded.requires_training
    assert not loaded.training
    photo = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded(photo).image, model.eval()(photo).image)
    named = unfold.create_model(str(folder))
    assert torch.equal(named(photo).image, model(photo).image)


def test_restore_takes_a_folder(saved, tmp_path):
    folder, model = saved
    photo = torch.rand(3, 16, 16)
    write(tmp_path / "in.png", Photo(photo, bits=16))
    out = tmp_path / "out.png"
    assert main(["restore", str(tmp_path / "in.png"), "-o", str(out), "--model", str(folder)]) == 0
    want = model.eval()(photo[None]).image[0]
    torch.testing.assert_close(read(out).image, want, atol=1e-4, rtol=0)


def test_a_missing_plugin_is_named(saved):
    folder, _ = saved
    change(folder, needs={"unfold-imaging": "0.1.0", "acme-prior": "0.2"})
    with pytest.raises(unfold.ComponentError, match=r"needs acme-prior>=0\.2: pip install"):
        load_model(folder)
    change(folder, needs={"unfold-imaging": "99.0"})
    with pytest.raises(unfold.ComponentError, match=r"needs unfold-imaging>=99\.0"):
        load_model(folder)


def test_other_weights_are_refused(saved):
    folder, _ = saved
    tensors = load_file(folder / "model.safetensors")
    first = next(iter(tensors))
    save_file(tensors | {first: tensors[first] + 1}, folder / "model.safetensors")
    with pytest.raises(unfold.ComponentError, match=r"is not the file that model\.json describes"):
        load_model(folder)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"model": {**SPEC, "K": 2}}, "cannot be built"),
        ({"model": {**SPEC, "J": 2}}, "cannot be built"),
        ({"model": {}}, "a model must be named by"),
        ({"needs": {"torch": "the newest"}}, "is not a distribution with its version"),
        ({"needs": {"torch": [2, 6]}}, "is not a distribution with its version"),
        ({"needs": {"": "1"}}, "is not a distribution with its version"),
    ],
)
def test_weights_of_another_model_are_refused(saved, facts, message):
    folder, _ = saved
    change(folder, **facts)
    with pytest.raises(unfold.ComponentError, match=message):
        load_model(folder)


OTHER_SHAPES = [
    '{"model": 1, "needs": {}, "sha256": ""}',
    '{"model": {}, "needs": [], "sha256": ""}',
]


@pytest.mark.parametrize("text", ["", "[1]", "{}", *OTHER_SHAPES, "[" * 100_000], ids=range(6))
def test_facts_that_are_none(saved, text):
    folder, _ = saved
    (folder / "model.json").write_text(text)
    with pytest.raises(unfold.ComponentError, match="describes no model"):
        load_model(folder)
