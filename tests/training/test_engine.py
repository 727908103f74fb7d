"""The engine: gradients, averages, precision, memory, what goes wrong."""

import json
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import MODEL, SYNTHESIS, photos, recipe, two_processes, values
from torch.autograd.graph import saved_tensors_hooks

import unfold
from unfold.core import Unrolled
from unfold.imaging import read
from unfold.models.weights import load_model
from unfold.training import TrainingError, parse_recipe, train
from unfold.training.assemble import assemble
from unfold.training.distributed import Distributed, shard
from unfold.training.step import clip
from unfold.training.stream import loader, open_stream
from unfold.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("photos"), scale=8)


def first_gradients(given, folder):
    """Of the first step."""
    found = {}

    def begin(trainer):
        def watch(step, losses):
            if step == 1:
                grads = {n: p.grad for n, p in trainer.model.named_parameters()}
                found.update({n: own_rows(g) for n, g in grads.items() if g is not None})

        return watch

    train(given, folder, begin=begin)
    return found


def own_rows(tensor):
    """Of a shard, what this process has: its first rows."""
    return (tensor.to_local() if hasattr(tensor, "to_local") else tensor).clone()


def table(folder):
    lines = (folder / "losses.csv").read_text().splitlines()
    return [
        dict(zip(lines[0].split(","), map(float, x.split(",")), strict=True)) for x in lines[1:]
    ]


def test_a_step_is_adams(source, tmp_path):
    """One step by hand: the first update of Adam is lr · sign of the gradient, nearly."""
    given = recipe(source, phases=[{"steps": 1, "batch": 2, "crop": 16, "lr": 0.01}])
    stream = open_stream(given.data, given.phases[0], 0)
    items = [stream[n] for n in (0, 1)]
    batch = {k: torch.stack([i[k] for i in items]) for k in ("input", "target")}
    model = assemble(given, Distributed(CPU)).model
    error = model(batch["input"]).image - batch["target"]
    loss = error.abs().mean() + 0.1 * torch.view_as_real(torch.fft.rfft2(error)).abs().mean()
    loss.backward()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    optimizer.step()
    train(given, tmp_path)
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        torch.testing.assert_close(tensor, model.state_dict()[name], atol=1e-6, rtol=1e-5)
    assert table(tmp_path)[0]["total"] == pytest.approx(loss.item(), rel=1e-5)


def test_accumulation_changes_no_gradient(source, tmp_path):
    phases = [{"steps": 1, "batch": 4, "crop": 16, "lr": 1e-3}]
    whole = first_gradients(recipe(source, phases=phases), tmp_path / "a")
    parts = first_gradients(recipe(source, phases=phases, accumulation=2), tmp_path / "b")
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_have_the_gradients_of_one_with_their_batch(source, tmp_path, parallel):
    given = values(
        source,
        parallel=parallel,
        phases=[{"steps": 3, "batch": 4, "crop": 16, "lr": 1e-3}],
        accumulation=2,
        validation={"data": values(source)["data"], "crop": 16, "count": 1, "metrics": ["psnr"]},
    )
    (tmp_path / "two").mkdir()

    def work():
        found = first_gradients(parse_recipe(given), tmp_path / "two")
        if found:  # the first process watches
            torch.save(found, tmp_path / "two" / "gradients.pt")

    two_processes(work)
    alone = first_gradients(parse_recipe(given | {"accumulation": 1}), tmp_path / "one")
    together = torch.load(tmp_path / "two" / "gradients.pt", weights_only=True)
    assert set(together) == set(alone)
    for name, gradient in alone.items():
        rows = len(together[name])
        assert rows == len(gradient) if parallel == "ddp" else rows < len(gradient) or rows == 1
        error = (together[name] - gradient[:rows]).abs().max()
        assert error <= 1e-6 * max(1, gradient.abs().max()), name
    for one, two in zip(table(tmp_path / "one"), table(tmp_path / "two"), strict=True):
        assert one == pytest.approx(two, rel=1e-4)


def test_shards_are_kept_and_go_on(source, tmp_path):
    """Stopped and begun again in shards: the weights of one process that was never stopped.

    One prior has no parameters to cut. (`test_starts` cuts a model that has no prior at all.)
    """
    given = values(
        source,
        model=MODEL | {"reflectance_prior": "total-variation"},
        phases=[{"steps": 3, "batch": 2, "crop": 16, "lr": 1e-3}],
        ema=0.5,
        clip=1.0,
        recompute=True,
        samples={"every": 3, "count": 1},
        validation={
            "data": values(source)["data"], "crop": 16, "count": 1, "every": 3, "metrics": ["psnr"]
        },
    )  # fmt: skip

    def stop_in_the_middle(trainer):
        def watch(step, losses):
            trainer.stopping = step == 1  # seen in the next step

        return watch

    sharded = parse_recipe(given | {"parallel": "fsdp"})
    two_processes(lambda: 1 - (not train(sharded, tmp_path / "two", begin=stop_in_the_middle)))
    assert not (tmp_path / "two" / "model.safetensors").exists()
    two_processes(lambda: 1 - train(sharded, tmp_path / "two"))
    train(parse_recipe(given), tmp_path / "one")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert set(one) == set(two)
    for name, tensor in one.items():
        # Adam's first steps go by the sign of the gradient, so that rounding shows.
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-4)
    pictures = [read(tmp_path / n / "samples" / "step-00000003.png").image for n in ("one", "two")]
    assert (pictures[0] - pictures[1]).abs().max() <= 2 / 255


def test_what_cannot_be_sharded_is_told(source):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1.0))

    with pytest.raises(TrainingError, match=r"parallel: fsdp cannot shard .* scale; give them"):
        shard(Odd(), CPU, 2)


@pytest.mark.parametrize("limit", [0.5, 100.0, None])
def test_the_gradient_is_clipped_as_torch_does(limit):
    gradients = [torch.randn(3, 4), torch.randn(5)]
    ours, theirs = ([torch.nn.Parameter(torch.zeros_like(g)) for g in gradients] for _ in range(2))
    for one, two, gradient in zip(ours, theirs, gradients, strict=True):
        one.grad, two.grad = gradient.clone(), gradient.clone()
    wanted = torch.nn.utils.clip_grad_norm_(theirs, float("inf") if limit is None else limit)
    assert clip(ours, limit).item() == pytest.approx(wanted.item())
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_shares_must_be_equal(source, tmp_path):
    with pytest.raises(TrainingError, match=r"phases\.0\.batch: 2 cannot be divided into 4 equal"):
        Trainer(recipe(source), tmp_path, Distributed(CPU, 0, 4))


def test_every_process_has_its_share_of_the_same_batch(source):
    given = recipe(source, phases=[{"steps": 3, "batch": 4, "crop": 8, "lr": 1}])
    phase = given.phases[0]

    def pictures(**options):
        stream = open_stream(given.data, phase, 0)
        return [x["input"] for x in loader(stream, phase, before=4, first=1, **options)]

    alone = torch.stack(pictures(parts=1))
    shares = [pictures(parts=2, rank=rank, world_size=2) for rank in (0, 1)]
    for step, whole in enumerate(alone):
        seen = torch.cat([share[2 * step + part] for share in shares for part in (0, 1)])
        assert {x.sum().item() for x in seen} == {x.sum().item() for x in whole}
    assert len(alone) == 2


def test_the_average_is_exponential(source, tmp_path):
    weights = []

    def begin(trainer):
        def watch(step, losses):
            weights.append({n: p.detach().clone() for n, p in trainer.model.named_parameters()})

        return watch

    train(recipe(source, ema=0.5), tmp_path, begin=begin)
    final = load_file(tmp_path / "model.safetensors")
    for name in weights[0]:
        average = weights[0][name]
        for later in weights[1:]:
            average = 0.5 * average + 0.5 * later[name]
        torch.testing.assert_close(final[name], average)
    assert any(not torch.equal(final[n], weights[-1][n]) for n in final)


def test_bf16_trains_nearly_alike(source, tmp_path):
    train(recipe(source), tmp_path / "a")
    train(recipe(source, precision="bf16"), tmp_path / "b")
    one, other = (table(tmp_path / x) for x in "ab")
    assert one != other
    for x, y in zip(one, other, strict=True):
        assert y["total"] == pytest.approx(x["total"], rel=0.05)
    tensors = load_file(tmp_path / "b" / "model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.float32}


def kept_bytes(model, photo):
    """What the graph of a restoration holds beside the parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        image = model(photo).image
    return sum(sizes.values()), image


@pytest.mark.parametrize("name", ["jude-small", "era-small"])
def test_recomputed_stages_have_the_same_gradients_in_less_memory(name):
    prior = {"kind": "resunet", "widths": (16,), "residual": False}
    options = {"kernel_estimator": {"kind": "kernel", "size": 5}, "prior": prior}
    photo, grown, gradients = torch.rand(1, 3, 32, 32, dtype=torch.float64), {}, {}
    for recompute in (False, True):
        sizes = []
        for K in (2, 4):
            torch.manual_seed(0)
            model = unfold.create_model(name, K=K, **options).double()
            for module in model.modules():
                if isinstance(module, Unrolled):
                    module.recompute = recompute
            size, image = kept_bytes(model, photo)
            sizes.append(size)
            image.square().mean().backward()
            gradients[recompute, K] = {n: p.grad for n, p in model.named_parameters()}
        grown[recompute] = sizes[1] - sizes[0]
    for K in (2, 4):
        for n, gradient in gradients[False, K].items():
            again = gradients[True, K][n]
            assert (gradient is None) == (again is None)
            if gradient is not None:
                torch.testing.assert_close(again, gradient, atol=1e-8, rtol=1e-5)
    assert grown[True] < 0.25 * grown[False]


def test_recompute_in_a_recipe_changes_nothing_but_memory(source, tmp_path):
    losses = [{"loss": "l1"}, {"loss": {"kind": "stage-wise", "block": "I"}}]
    model = {**MODEL, "K": 2}
    train(recipe(source, model=model, losses=losses), tmp_path / "a")
    train(recipe(source, model=model, losses=losses, recompute=True), tmp_path / "b")
    for x, y in zip(table(tmp_path / "a"), table(tmp_path / "b"), strict=True):
        assert y == pytest.approx(x, rel=1e-4)


@pytest.mark.slow
def test_compiled(source, tmp_path):
    train(recipe(source), tmp_path / "a")
    train(recipe(source, compile=True), tmp_path / "b")
    for x, y in zip(table(tmp_path / "a"), table(tmp_path / "b"), strict=True):
        assert y["total"] == pytest.approx(x["total"], rel=1e-3)
    load_model(tmp_path / "b")


def test_bad_numbers_stop_it_and_are_blamed(source, tmp_path):
    def begin(trainer):
        def watch(step, losses):
            if step == 3:
                stage = trainer.model.stages.stages[1]
                with torch.no_grad():
                    stage.lagrangian.priors["Q"].net.tail.weight.fill_(float("nan"))

        return watch

    model = {**MODEL, "K": 2}
    with pytest.raises(TrainingError) as told:
        train(recipe(source, model=model), tmp_path, begin=begin)
    message = str(told.value)
    assert message.startswith("step 4: l1 is nan, fft is nan")
    assert "stage 2 is the first with values that are not finite, in P, R, Q" in message
    assert "step-00000003" in message
    assert len(table(tmp_path)) == 3


def test_a_bad_gradient_is_blamed_though_losses_are_good(source, tmp_path):
    def begin(trainer):
        bias = trainer.model.estimator.to_kernels.bias
        bias.register_hook(lambda g: g * float("inf") if trainer.step == 2 else g)
        return lambda step, losses: None

    with pytest.raises(TrainingError, match=r"step 3: gradient is (nan|inf).*to_kernels\.bias"):
        train(recipe(source), tmp_path, begin=begin)
    assert load_file(tmp_path / "checkpoints/step-00000002/tensors.safetensors")
    assert train(recipe(source), tmp_path)  # it was the hook


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_vanishes_leaves_a_state_to_go_on_from(tmp_path, workers):
    source = photos(tmp_path / "photos", names=("astronaut", "coffee"), scale=8)
    path = source / "coffee.png"
    data = path.read_bytes()

    def begin(trainer):
        return lambda step, losses: path.unlink() if step == 3 else None

    given = recipe(source, phases=[{"steps": 16, "batch": 2, "crop": 16, "lr": 1e-3}])
    with pytest.raises(TrainingError) as told:
        train(given, tmp_path / "run", begin=begin, workers=workers)
    # (A worker is a few steps ahead. It sends its whole traceback: all but the reason is left out.)
    step = len(table(tmp_path / "run"))
    assert step == 3 if not workers else 3 < step < 16
    said = rf"step {step + 1}: \S*coffee\.png: cannot be read .*from \S*step-{step:08d}"
    assert re.fullmatch(said, str(told.value))
    path.write_bytes(data)
    assert train(given, tmp_path / "run")
    train(given, tmp_path / "other")
    assert table(tmp_path / "run") == table(tmp_path / "other")


def test_a_worker_that_dies_leaves_a_state_to_go_on_from(source, tmp_path, monkeypatch):
    from unfold.synthesis import SynthesizedPhotos

    real = SynthesizedPhotos.items

    def deadly(self, places):
        if any(epoch == 3 for _, epoch in places):  # 3 photos: item 9 and later
            os._exit(1)
        return real(self, places)

    monkeypatch.setattr(SynthesizedPhotos, "items", deadly)
    with pytest.raises(TrainingError, match=r"worker.*exited unexpectedly.*continues from"):
        train(recipe(source), tmp_path, workers=1)
    monkeypatch.undo()
    assert train(recipe(source), tmp_path)


def test_samples_show_everything(source, tmp_path):
    given = recipe(source, samples={"every": 6, "count": 2})
    train(given, tmp_path)
    sheet = read(tmp_path / "samples" / "step-00000006.png").image
    stream = open_stream(given.data, given.phases[0], 0)
    model = load_model(tmp_path)
    tiles = 3 + len(model(stream[0]["input"][None]).parts)
    assert sheet.shape == (3, 2 * 16, tiles * 16)
    for row in (0, 1):
        item = stream[row]
        made = model(item["input"][None]).image[0]
        want = torch.cat((item["input"], made, item["target"]), 2).detach()
        got = sheet[:, 16 * row : 16 * row + 16, :48]
        torch.testing.assert_close(got, want, atol=1 / 254, rtol=0)
    assert sheet[..., 48:].std() > 0.05


def test_the_callers_chance_is_left_alone(source, tmp_path):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    want = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    train(recipe(source), tmp_path)
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == want


def test_the_seed_decides(source, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(recipe(source, seed=seed), tmp_path / name)
    assert table(tmp_path / "a") == table(tmp_path / "b") != table(tmp_path / "c")


def test_pairs_in_folders_train_too(source, tmp_path):
    from unfold.imaging import Photo, write

    for path in sorted(Path(source).glob("*.png")):
        image = read(path).image
        for place, picture in (("input", 0.3 * image), ("target", image)):
            (tmp_path / "data" / place).mkdir(parents=True, exist_ok=True)
            write(tmp_path / "data" / place / path.name, Photo(picture))
    data = {"kind": "paired", "root": str(tmp_path / "data")}
    whole = {"data": data, "every": 3, "metrics": ["psnr", "mae"]}
    train(recipe(source, data=data, validation=whole), tmp_path / "run")
    lines = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert lines[0] == "step,psnr,mae"
    model, values_ = load_model(tmp_path / "run"), []
    for path in sorted((tmp_path / "data" / "input").glob("*.png")):
        image = model(read(path).image[None]).image
        target = read(tmp_path / "data" / "target" / path.name).image[None]
        values_.append(-10 * (image - target).square().mean().log10().item())
    assert float(lines[-1].split(",")[1]) == pytest.approx(np.mean(values_), abs=1e-3)


def test_unpaired_data_need_no_pairs(source, tmp_path):
    small = {**MODEL, "K": 1}
    given = values(
        source,
        data={"kind": "unpaired", "input": str(source), "target": str(source)},
        adversary={"backward": small, "discriminator": {"kind": "reflectance", "width": 2}},
        optimizer={"betas": [0.5, 0.999]},
        phases=[{"steps": 4, "batch": 2, "crop": 16, "lr": 2e-4, "schedule": "step", "halve": 2}],
    )
    given.pop("losses")
    assert train(parse_recipe(given), tmp_path / "run")
    rows = table(tmp_path / "run")
    names = {"adversarial", "cycle", "identity_target", "identity_input", "discriminator"}
    assert names < set(rows[0])
    assert [row["lr"] for row in rows] == [2e-4, 2e-4, 1e-4, 1e-4]
    stream = open_stream(parse_recipe(given).data, parse_recipe(given).phases[0], 0)
    assert any(not torch.equal(stream[n]["input"], stream[n]["target"]) for n in range(3))
    load_model(tmp_path / "run")


def test_synthesis_is_written_down_with_the_recipe(source, tmp_path):
    train(recipe(source), tmp_path)
    facts = json.loads((tmp_path / "checkpoints/step-00000006/state.json").read_text())
    kinds = [step["degradation"]["kind"] for step in facts["recipe"]["data"]["recipe"]["steps"]]
    assert kinds == [s["degradation"] if isinstance(s["degradation"], str)
                     else s["degradation"]["kind"] for s in SYNTHESIS["steps"]]  # fmt: skip


def test_tensorboard_is_optional(source, tmp_path):
    try:
        import tensorboard  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(TrainingError, match=r"pip install 'unfold-imaging\[tensorboard\]'"):
            train(recipe(source), tmp_path, board=True)
    else:
        train(recipe(source), tmp_path, board=True)
        assert list((tmp_path / "tensorboard").glob("events.*"))
