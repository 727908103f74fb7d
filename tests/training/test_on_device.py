"""Photos that stay on the device, where bad ones are made of them, a batch at a time."""

import contextlib

import pytest
import torch
from elsewhere import THERE, elsewhere
from safetensors.torch import load_file
from tiny_training import SYNTHESIS, photos, recipe, values

from unfold.datasets.photos import Kept, Photos, unit
from unfold.datasets.plain import Paired
from unfold.imaging import read
from unfold.synthesis import SynthesizedPhotos, parse_recipe, read_recipe
from unfold.synthesis import stream as synthesis_stream
from unfold.training import read_recipe as read_training
from unfold.training import train
from unfold.training.assemble import assemble
from unfold.training.distributed import Distributed
from unfold.training.stream import loader, open_stream

CPU = torch.device("cpu")
NOISY = SYNTHESIS | {
    "steps": [
        *SYNTHESIS["steps"][:-1],
        {"degradation": "outliers", "probability": 0.5},
        {"degradation": "jpeg", "probability": 0.5},
        {"degradation": "gaussian-noise", "saves": "bad"},
    ]
}
PLACES = [(0, 0), (4, 0), (1, 2), (3, 1), (2, 0)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("data") / "photos")


def synthesized(source, made_by=NOISY, kept=None, **options):
    options = {"crop": 48, "margin": 4, "length": 6, "kernel_size": 13, "seed": 3} | options
    made = made_by if hasattr(made_by, "steps") else parse_recipe(made_by)
    return SynthesizedPhotos(source, made, kept=kept, **options)


def close(got, want, atol=1e-5):
    assert len(got) == len(want)
    for one, two in zip(got, want, strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            if isinstance(value, str):
                assert value == two[key]
            else:
                torch.testing.assert_close(value.to("cpu"), two[key], rtol=0, atol=atol)


def test_a_picture_is_read_once_and_kept_as_its_file_has_it(source):
    kept, calls = Kept(CPU), []
    path = source / "coffee.png"

    def load():
        calls.append(1)
        return {"sharp": read(path).image}

    first, second = kept.get("a", load), kept.get("a", load)
    assert first is second
    assert calls == [1]
    assert first["sharp"].dtype == torch.uint8
    assert torch.equal(unit(first["sharp"]), read(path).image)


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_together_they_are_what_each_is_alone(source, monkeypatch, error):
    """With the same noise, they are the photos that files give, one at a time."""
    monkeypatch.setattr(synthesis_stream, "counted", contextlib.nullcontext)
    alone = synthesized(source, kernel_error=error)
    kept = synthesized(source, kernel_error=error, kept=Kept(CPU))
    close(kept.items(PLACES), [alone.item(*place) for place in PLACES])


@pytest.mark.parametrize("size", [None, [90, 100]])
def test_a_batch_does_not_change_its_photos(source, size):
    dataset = synthesized(source, NOISY | {"size": size}, kept=Kept(CPU))
    close(dataset.items(PLACES), [dataset.item(*place) for place in PLACES])


@pytest.mark.parametrize("made_by", [NOISY, "lol-blur", "deblur", "defocus"])
def test_made_elsewhere_they_are_those_made_here(source, made_by):
    made_by = read_recipe(made_by) if isinstance(made_by, str) else made_by
    options = (
        {"kernel_size": 13, "kernel_error": 0.4} if made_by is NOISY else {"kernel_size": None}
    )
    want = synthesized(source, made_by, Kept(CPU), **options).items(PLACES)
    with elsewhere():
        got = synthesized(source, made_by, Kept(THERE), **options).items(PLACES)
        assert all(item["input"].device == THERE for item in got)
        close(got, want, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("made_by", ["lol-blur", "deblur", "defocus"])
def test_made_on_cuda_they_are_those_made_here(source, made_by):
    want = synthesized(source, read_recipe(made_by), Kept(CPU), kernel_size=None).items(PLACES)
    there = Kept(torch.device("cuda"))
    got = synthesized(source, read_recipe(made_by), there, kernel_size=None).items(PLACES)
    for one, two in zip(got, want, strict=True):
        assert one["input"].device.type == "cuda"
        # (A value on a threshold may fall on either side of it.)
        assert ((one["input"].cpu() - two["input"]).abs() > 1e-3).double().mean() < 1e-3


def test_pairs_are_those_of_the_files(source, tmp_path):
    for name in ("input", "target"):
        (tmp_path / name).symlink_to(source)
    options = {"crop": 40, "side": 100, "flip": True, "seed": 2}
    plain = Photos(Paired(tmp_path), **options)
    kept = Photos(Paired(tmp_path), **options, kept=Kept(CPU))
    places = [(0, 0), (2, 1), (1, 5)]
    close(kept.items(places), plain.items(places), atol=0.51 / 255)  # made smaller, then 8 bits


def mixed(source, pairs, **changes):
    made = {"kind": "synthesized", "source": str(source), "recipe": NOISY, "margin": 4}
    return values(
        source,
        data={
            "kind": "mixed",
            "parts": [
                {"data": made | {"kernel_size": 13}},
                {"data": made | {"recipe": NOISY | {"size": [60, 60]}}},
                {"data": {"kind": "paired", "root": str(pairs)}},
            ],
        },
        on_device=True,
        phases=[
            {"steps": 3, "batch": 4, "crop": 16, "lr": 1e-3},
            {"steps": 3, "batch": 4, "crop": 24, "lr": 1e-3, "extra": ["gaussian-noise"]},
        ],
        **changes,
    )


@pytest.fixture
def pairs(source, tmp_path):
    (tmp_path / "pairs").mkdir()
    for name in ("input", "target"):
        (tmp_path / "pairs" / name).symlink_to(source)
    return tmp_path / "pairs"


def test_batches_elsewhere_are_those_made_here(source, pairs):
    given = recipe(source, **mixed(source, pairs))
    for phase in given.phases:
        options = {"before": 0, "first": 0, "parts": 2, "batched": True}
        want = list(loader(open_stream(given.data, phase, 1, Kept(CPU)), phase, **options))
        with elsewhere():
            there = open_stream(given.data, phase, 1, Kept(THERE))
            got = list(loader(there, phase, **options))
            for one, two in zip(got, want, strict=True):
                assert one.pop("name") == two.pop("name")
                for key, value in one.items():
                    assert value.device == THERE
                    torch.testing.assert_close(
                        value.to("cpu"), two[key], rtol=0, atol=1e-5, equal_nan=True
                    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deconv", "jude", "era"])
def test_a_step_of_what_ships_meets_no_other_device(source, tmp_path, monkeypatch, name):
    """Batch, model, losses and gradients of a shipped recipe elsewhere; numbers as here."""
    for folder in ("photos/bsds500/train", "photos/debian_photos"):
        (tmp_path / folder).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder).symlink_to(source)
    for folder in ("lowlight/sice_pairs", "lol/train"):
        (tmp_path / folder).mkdir(parents=True)
        for side in ("low", "high"):
            (tmp_path / folder / side).symlink_to(source)
    monkeypatch.chdir(tmp_path)
    changes = {"phases.0.batch": 2, "phases.0.crop": 64, "precision": "fp32"}
    given = read_training(f"shipped-{name}-small", changes)
    found = {}
    for device in (CPU, THERE):
        components = assemble(given, Distributed(CPU))
        (task,) = components.tasks.values()
        with elsewhere():
            moved(task, device)
            stream = open_stream(given.data, given.phases[0], 0, Kept(device))
            options = {"before": 0, "first": 0, "parts": 1, "batched": True}
            losses = task(next(loader(stream, given.phases[0], **options)))
            torch.stack(list(losses.values())).sum().backward()
            found[device] = {key: value.to("cpu").item() for key, value in losses.items()}
            assert all(p.grad.device == device for p in task.parameters())
    assert found[THERE] == pytest.approx(found[CPU], rel=1e-3, abs=1e-6)


def moved(task, device):
    """As ``task.to(device)``, which knows no such device; losses have no tensors here."""
    for module in task.modules():
        for key, value in module._parameters.items():
            if value is not None:
                given = value.detach().to(device)
                module._parameters[key] = torch.nn.Parameter(given, value.requires_grad)
        for key, value in module._buffers.items():
            if value is not None:
                module._buffers[key] = value.to(device)


def test_training_goes_on_to_the_same_bits_and_reads_each_photo_once(
    source, pairs, tmp_path, monkeypatch
):
    given = recipe(source, **mixed(source, pairs))
    train(given, tmp_path / "whole")

    def stop_in_the_middle(trainer):
        def watch(step, losses):
            trainer.stopping = step == 2

        return watch

    counts = {}
    reading = Kept.get

    def counting(self, key, load):
        def loaded():
            counts[key] = counts.get(key, 0) + 1
            return load()

        return reading(self, key, loaded)

    assert not train(given, tmp_path / "halves", begin=stop_in_the_middle)
    monkeypatch.setattr(Kept, "get", counting)
    assert train(given, tmp_path / "halves", workers=3)
    assert set(counts.values()) == {1}
    one, two = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "halves"))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
