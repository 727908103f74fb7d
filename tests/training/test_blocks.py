"""Recipes whose losses look at parts of the restoration."""

import pytest
import torch
from tiny_training import MODEL, photos, recipe, values
from torch.utils.data import default_collate

from unfold.cli import main
from unfold.losses import Loss, LossError
from unfold.restorer import Restoration
from unfold.training import TrainingError, parse_recipe, train
from unfold.training.assemble import assemble
from unfold.training.distributed import Distributed
from unfold.training.stream import open_stream
from unfold.training.task import Supervised, known
from unfold.training.validation import Validator

CPU = torch.device("cpu")
DARK = {"degradation": {"kind": "low-light", "exposure": [0.1, 0.3]}, "saves": "dark"}
BRIGHTER = {
    "degradation": {"kind": "low-light", "exposure": [0.4, 0.8]}, "of": "sharp", "saves": "brighter"
}  # fmt: skip
SHAKE = {"kind": "camera-shake", "extent": [2, 2]}
JUDE = {
    "steps": [DARK, {"degradation": SHAKE, "saves": "bad"}, BRIGHTER,
              {"degradation": SHAKE, "saves": "second"}],
    "files": {},
    "input": "bad",
}  # fmt: skip
ERA = {
    "steps": [{"degradation": SHAKE, "saves": "blurred"},
              {"degradation": {"kind": "outliers", "density": [0.01, 0.02]}, "saves": "bad"}],
    "files": {},
    "input": "bad",
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("photos"), scale=8)


def data(source, synthesis, **more):
    return {"kind": "synthesized", "source": str(source), "recipe": synthesis, "margin": 4, **more}


def jude(source, **changes):
    """JUDE with a loss on its kernel, its I, and its R."""
    given = {
        "model": {**MODEL, "exposure": "exposure-histogram"},
        "data": data(source, JUDE, kernel_size=9, kernel_known=False,
                     pictures={"sharp-dark": "dark", "other": "second"}),
        "losses": [
            {"loss": "l1"},
            {"loss": "kernel", "weight": 0.1},
            {"loss": {"kind": "l1", "of": "I", "picture": "sharp-dark", "match_exposure": True},
             "name": "sharp-dark"},
            {"loss": {"kind": "stage-wise", "block": "I", "picture": "sharp-dark"}},
            {"loss": "reflectance-consistency", "weight": 0.01},
        ],
    }  # fmt: skip
    return values(source, **(given | changes))


def era(source):
    return values(
        source,
        model={
            "kind": "era-small",
            "K": 1,
            "kernel_estimator": MODEL["kernel_estimator"],
            "prior": MODEL["prior"],
        },
        data=data(source, ERA, pictures={"clean": "blurred"}),
        losses=[{"loss": "l1"}, {"loss": "sparse-error"}],
    )


@pytest.mark.parametrize("given", [jude, era])
def test_a_network_trains_with_losses_on_its_blocks(source, tmp_path, given):
    made = parse_recipe(given(source))
    assert parse_recipe(made.model_dump(mode="json")) == made
    assert train(made, tmp_path)
    lines = (tmp_path / "losses.csv").read_text().splitlines()
    names = lines[0].split(",")
    assert {w.title for w in made.losses} < set(names)
    for line in lines[1:]:
        assert all(0 < float(value) < 10 for value in line.split(",")[1:])


def batch_of(given):
    stream = open_stream(given.data, given.phases[0], given.seed)
    return default_collate([stream[n] for n in range(2)])


def test_the_model_is_not_given_the_true_kernel(source):
    given = parse_recipe(jude(source))
    batch = batch_of(given)
    assert batch["true-kernel"].shape == (2, 1, 9, 9)
    assert known(batch) == {}
    told = parse_recipe(jude(source, data=data(source, JUDE, kernel_size=9)))
    assert known(batch_of(told)).keys() == {"kernel"}
    hidden = {"data": jude(source)["data"], "crop": 16, "count": 1, "metrics": ["psnr"]}
    validator = Validator(parse_recipe(jude(source, validation=hidden)).validation, 0, CPU)
    assert set(validator.item(0)) == {"input", "target"}


class Other(Loss):
    needs_other = True

    def forward(self, outcome):
        self.outcome = outcome
        return outcome.restoration.image.mean()


def test_the_second_input_is_restored_only_when_a_loss_reads_it(source):
    given = parse_recipe(jude(source))
    batch, model = batch_of(given), assemble(given, Distributed(CPU)).model
    seen = []
    model.register_forward_hook(lambda module, inputs, made: seen.append((inputs[0], made)))
    loss = Other()
    Supervised(model, [("other", 1.0, loss)])(dict(batch))
    (one, first), (two, second) = seen
    assert torch.equal(one, batch["input"])
    assert torch.equal(two, batch["other"])
    assert loss.outcome.restoration is first
    assert loss.outcome.other is second
    loss.needs_other = False
    Supervised(model, [("other", 1.0, loss)])(dict(batch))
    assert len(seen) == 3
    assert loss.outcome.other is None


def test_the_second_input_is_given_the_known_kernel_too():
    class Told(torch.nn.Module):
        def forward(self, image, *, kernel=None):
            kernels.append(kernel)
            return Restoration(image)

    kernels = []
    image, kernel = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 1, 1)
    loss = Other()
    Supervised(Told(), [("other", 1.0, loss)])({"input": image, "other": image, "kernel": kernel})
    assert len(kernels) == 2
    assert all(k is kernel for k in kernels)


def test_extra_degradations_are_on_both_inputs_and_unlike(source):
    noise = {"kind": "gaussian-noise", "sigma": [0.1, 0.1]}
    phases = [{"steps": 1, "batch": 2, "crop": 16, "lr": 1e-3, "extra": [noise]}]
    clean, noisy = (
        batch_of(parse_recipe(jude(source, **more))) for more in ({}, {"phases": phases})
    )
    errors = {key: noisy[key] - clean[key] for key in ("input", "other")}
    assert all(error.std() > 0.03 for error in errors.values())
    # (Where neither is clipped.)
    whole = torch.stack([(noisy[key] > 0) & (noisy[key] < 1) for key in errors]).all(0)
    pair = torch.stack([error[whole] for error in errors.values()])
    assert pair.shape[1] > 500
    assert pair.corrcoef()[0, 1].abs() < 0.2
    assert torch.equal(noisy["sharp-dark"], clean["sharp-dark"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.pictures.x": "gone"}, r"pictures\.x: the recipe saves no picture 'gone'; there ar"),
        ({"data.pictures.target": "dark"}, r"pictures\.target: the name is taken"),
        (
            {"data.kernel_size": None},
            r"kernel_known: the data have no kernel; set kernel_size, its side",
        ),
        (
            {"data.kernel_error": 0.5},
            r"kernel_error: the model is not given a kernel; leave kernel_error out",
        ),
    ],
)
def test_recipes_that_do_not_hold_together(source, changes, message):
    given = jude(source)
    for path, value in changes.items():
        *way, last = path.split(".")
        place = given
        for key in way:
            place = place[key]
        place[last] = value
    with pytest.raises(TrainingError, match=message):
        parse_recipe(given)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"kernel_size": 7},
            r"data\.parts\.1: its items have no 'other', but those of other parts do",
        ),
        ({"kernel_size": 7, "kernel_known": False}, r"kernels of different sizes \(true-kernel\)"),
    ],
)
def test_mixed_data_must_agree_in_what_models_read(source, other, message):
    parts = [{"data": jude(source)["data"]}, {"data": data(source, JUDE, **other)}]
    with pytest.raises(TrainingError, match=message):
        parse_recipe(jude(source, data={"kind": "mixed", "parts": parts}))


def test_what_only_losses_read_may_be_unknown_in_parts_of_mixed_data(source):
    known = data(source, JUDE, kernel_size=9, kernel_known=False, pictures={"sharp-dark": "dark"})
    parts = [{"data": known}, {"data": data(source, JUDE), "weight": 3}]
    given = parse_recipe(
        jude(source, losses=[{"loss": "l1"}], data={"kind": "mixed", "parts": parts})
    )
    stream = open_stream(given.data, given.phases[0], 0)
    items = [stream[n] for n in range(12)]
    unknown = [bool(item["true-kernel"].isnan().all()) for item in items]
    assert 0 < sum(unknown) < 12
    assert all(
        bool(i["sharp-dark"].isnan().all()) == u for i, u in zip(items, unknown, strict=True)
    )
    assert {tuple(item["true-kernel"].shape) for item in items} == {(1, 9, 9)}


def test_what_the_data_lack_is_named_by_the_dry_run(source, tmp_path, capsys):
    given = recipe(source, losses=[{"loss": "reflectance-consistency"}])
    task = assemble(given, Distributed(CPU)).tasks["model"]
    message = (
        "reflectance-consistency: the data have no second input 'other' of each scene; save one "
        "in the recipe of synthesis, and set data.pictures.other to its name"
    )
    with pytest.raises(LossError, match=message):
        task(batch_of(given))
    command = ["train", "jude-small", "--set", f"data.source={source}", "--dry-run", "-o",
               str(tmp_path), "--set", "losses.0.loss=reflectance-consistency",
               "--set", "phases.0.crop=32", "--set", "phases.0.batch=1"]  # fmt: skip
    assert main(command) == 2
    assert capsys.readouterr().err == f"unfold: {message}\n"


def test_a_command_can_ask_for_pictures(source, tmp_path, capsys):
    """`--set` makes the table: jude-small's data have no pictures yet."""
    command = ["train", "jude-small", "--set", f"data.source={source}", "--dry-run", "-o",
               str(tmp_path), "--set", 'data.pictures={"sharp": "sharp"}',
               "--set", 'losses.0.loss={"kind": "l1", "picture": "sharp"}',
               "--set", "phases.0.crop=32", "--set", "phases.0.batch=1"]  # fmt: skip
    assert main(command) == 0, capsys.readouterr().err
