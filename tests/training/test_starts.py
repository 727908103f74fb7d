"""Phases that start from the best weights so far, and go on to the same bits."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import CURVES, photos, recipe, two_processes, values

from unfold.training import TrainingError, parse_recipe, train
from unfold.training import checkpoint as checkpoints
from unfold.training.trainer import Trainer

BORDER, END = 12, 20


def given(source, **changes):
    base = values(
        source,
        model=CURVES,
        phases=[
            {"steps": BORDER, "batch": 2, "crop": 16, "lr": 1e-3, "schedule": "constant"},
            {"steps": END - BORDER, "batch": 2, "crop": 8, "lr": 5e-4, "start": "best"},
        ],
        ema=0.5,
        checkpoint={"every": 2, "keep": 2},
        validation={
            "data": values(source)["data"], "every": 4, "crop": 16, "count": 2, "metrics": ["psnr"]
        },
    )  # fmt: skip
    return base | changes


# The best before the border is step 8's, the best of all step 16's, whatever the weights.
FORCED = {4: 20.0, 8: 30.0, 12: 25.0, 16: 31.0, 20: 29.0}


@pytest.fixture(scope="module", autouse=True)
def early():
    original = Trainer._between

    def between(trainer):
        if trainer.validator:
            trainer.validator.metrics = {"psnr": Forced(trainer)}
        original(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_between", between)
        yield


class Forced:
    needs_reference, better = False, "higher"

    def __init__(self, trainer):
        self.trainer = trainer

    def __call__(self, image, reference):
        return torch.tensor(FORCED[self.trainer.step])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    torch.set_num_threads(1)
    return photos(tmp_path_factory.mktemp("photos"), scale=8)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """What a run that was never stopped leaves."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(parse_recipe(given(source)), folder)
    return results(folder)


def results(folder):
    names = ("losses.csv", "validation.csv", "model.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


def seen_by(trainer, found):
    """Watch: step -> the weights, averages and moments after it."""

    def watch(step, losses):
        optimizer = trainer.optimizers["model"]
        found[step] = {
            "weights": {k: t.clone() for k, t in trainer.model.state_dict().items()},
            "average": {k: t.clone() for k, t in trainer.average.state_dict().items()},
            "counts": {int(s["step"]) for s in optimizer.state.values()},
        }

    return watch


def test_the_phase_begins_with_the_best_weights_and_fresh_moments(source, tmp_path):
    found, begun = {}, {}

    def begin(trainer):
        gradients = trainer._gradients

        def first(parts):
            if trainer.step == BORDER:
                begun["weights"] = {k: t.clone() for k, t in trainer.model.state_dict().items()}
                begun["average"] = {k: t.clone() for k, t in trainer.average.state_dict().items()}
                begun["moments"] = len(trainer.optimizers["model"].state)
            return gradients(parts)

        trainer._gradients = first
        return seen_by(trainer, found)

    assert train(parse_recipe(given(source)), tmp_path, begin=begin)
    for kind in ("weights", "average"):
        for name, tensor in begun[kind].items():
            assert torch.equal(tensor, found[8][kind][name]), name
        assert any(not torch.equal(t, found[BORDER][kind][n]) for n, t in begun[kind].items())
    assert begun["moments"] == 0
    assert found[BORDER]["counts"] == {BORDER}
    assert found[BORDER + 1]["counts"] == {1}
    best = json.loads((tmp_path / "model.json").read_text())["training"]["best"]
    assert (best["step"], best["value"]) == (16, 31.0)


def test_the_last_is_the_default(source, tmp_path):
    found = {}
    phases = [phase | {"start": "last"} for phase in given(source)["phases"]]
    train(parse_recipe(given(source, phases=phases)), tmp_path, begin=lambda t: seen_by(t, found))
    assert found[BORDER + 1]["counts"] == {BORDER + 1}
    assert recipe(source).phases[0].start == "last"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [3, BORDER, BORDER + 1, END - 1])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_it_goes_on_to_the_same_bits(source, tmp_path, whole, step, how):
    """Stopped after a step, with a checkpoint, or killed in it, without."""
    made = parse_recipe(given(source))

    def begin(trainer):
        def watch(now, losses):
            if now == step and how == "killed":
                raise Killed
            trainer.stopping = now == step - 1  # seen in the step after it

        return watch

    if how == "killed":
        with pytest.raises(Killed):
            train(made, tmp_path / "cut", begin=begin)
    else:
        assert not train(made, tmp_path / "cut", begin=begin)
        assert checkpoints.steps(tmp_path / "cut" / "checkpoints")[-1] == step
    assert train(made, tmp_path / "cut")
    assert results(tmp_path / "cut") == whole


def test_killed_exactly_when_it_has_gone_back(source, tmp_path, whole, monkeypatch):
    """Neither the old weights nor the new ones are lost; twice, as it may be."""
    made = parse_recipe(given(source))
    for after in (False, True):

        def cut(trainer, after=after, real=Trainer._start_from_best):
            if after:
                real(trainer)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_start_from_best", cut)
            with pytest.raises(Killed):
                train(made, tmp_path / "cut")
        assert checkpoints.steps(tmp_path / "cut" / "checkpoints")[-1] == BORDER
    assert train(made, tmp_path / "cut")
    assert results(tmp_path / "cut") == whole


def test_data_that_fail_in_the_first_step_of_the_phase(source, tmp_path, whole, monkeypatch):
    """What is kept then has the best weights already; it goes on alike."""
    made = parse_recipe(given(source, checkpoint={"every": 100, "keep": 2}))

    def fail(trainer, batches):
        if trainer.step == BORDER:
            raise trainer._failed(ValueError("a photo is gone"))
        return real(trainer, batches)

    real = Trainer._next
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_next", fail)
        with pytest.raises(TrainingError, match=r"a photo is gone.*step-00000012"):
            train(made, tmp_path / "cut")
    assert train(made, tmp_path / "cut")
    assert results(tmp_path / "cut") == whole


def test_it_goes_on_from_any_checkpoint_that_is_left(source, tmp_path, whole):
    """The last one is removed, as the message says if it is damaged: what the one before it takes
    for the best is still there, though a later one is better."""
    made = parse_recipe(given(source, checkpoint={"every": 4, "keep": 2}))
    kept = tmp_path / "checkpoints"

    def begin(trainer):
        def watch(now, losses):
            if now == 17:
                raise Killed

        return watch

    with pytest.raises(Killed):
        train(made, tmp_path, begin=begin)
    assert checkpoints.steps(kept) == [8, 12, 16]
    shutil.rmtree(kept / "step-00000016")
    assert train(made, tmp_path)
    assert results(tmp_path) == whole


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_go_back_together(source, tmp_path, parallel):
    """As one does: within a step of Adam, which goes by the sign of the gradient at first."""
    phases = given(source)["phases"]
    phases[1]["steps"] = 1
    made = parse_recipe(given(source, phases=phases, parallel=parallel))
    FORCED[BORDER + 1] = 10.0
    two_processes(lambda: 1 - train(made, tmp_path / "two"))
    train(made, tmp_path / "one")
    for name, tensor in load_file(tmp_path / "one" / "model.safetensors").items():
        other = load_file(tmp_path / "two" / "model.safetensors")[name]
        torch.testing.assert_close(other, tensor, atol=1e-3, rtol=1e-3)
    kept = [checkpoints.load(tmp_path / n / "checkpoints", BORDER + 1) for n in ("one", "two")]
    moments = [{k: t for k, t in c.tensors.items() if k.endswith("step")} for c in kept]
    assert all({t.item() for t in found.values()} == {1} for found in moments)


def test_others_keep_no_more_than_before(tmp_path):
    for step, best in ((8, 8), (12, 8), (16, 16)):
        facts = {"step": step, "best": {"step": best}}
        checkpoints.save(tmp_path, step, checkpoints.Checkpoint({"x": torch.ones(2)}, facts))
    checkpoints.prune(tmp_path, 2, 16, returns=True)
    assert checkpoints.steps(tmp_path) == [8, 12, 16]
    checkpoints.prune(tmp_path, 2, 16)
    assert checkpoints.steps(tmp_path) == [12, 16]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation": None}, r'phases\.1\.start: "best" needs a validation'),
        ({"validation.every": BORDER + 1},
         r"phases\.1\.start: .*validation.every is 13, the phases before it have 12 steps"),
        ({"phases.0.start": "best"}, r'phases\.0\.start: "best" needs a phase before it'),
        ({"phases.1.start": "first"}, r"phases\.1\.start"),
    ],
)  # fmt: skip
def test_recipes_that_do_not_hold_together(changes, message):
    wrong = given("x")
    for path, value in changes.items():
        *way, last = path.split(".")
        place = wrong
        for key in way:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value
    with pytest.raises(TrainingError, match=message):
        parse_recipe(wrong)


def test_nothing_measured_after_a_change_of_recipe(source, tmp_path):
    """A run that was begun without a validation has no best to start from."""
    first = [given(source)["phases"][0]]
    train(parse_recipe(given(source, phases=first, validation=None)), tmp_path)
    with pytest.raises(TrainingError, match=r"none has been measured; add a validation, or set"):
        train(parse_recipe(given(source)), tmp_path, allow_changes=True)
