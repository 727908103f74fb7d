"""What the page is made of, without a browser."""

import dataclasses
import json
import re

import pytest
import torch
from skimage.data import coffee
from unfold_app import view
from unfold_app.command import make_model
from unfold_app.look import look
from unfold_app.options import chosen, drawn, widget, written
from unfold_app.samples import SAMPLES, sample
from unfold_app.visit import Visits

import unfold
from unfold.cli import main
from unfold.core import History
from unfold.degradation.dark_and_shaken import dark_and_shaken
from unfold.registry import ComponentError
from unfold.registry.spec import resolve, spec_type

MODELS = [n for n in unfold.list("models") if n not in ("trained", "cascade", "declared")]


@pytest.fixture(scope="module")
def image():
    return torch.tensor(coffee()[100:148, 200:256]).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def kernel():
    return torch.tensor([[0.25, 0.5, 0.25]])[None, None]


@pytest.mark.parametrize("name", MODELS)
def test_looking_changes_nothing(name, image, kernel):
    torch.manual_seed(0)
    few = {"K": 2} if "K" in spec_type("models", name).model_fields else {}
    model = unfold.create_model(name, **few).eval()
    restored, trace = look(model, image, kernel=kernel)
    history = History(keep=True)
    with torch.inference_mode():
        assert torch.equal(restored, model(image, kernel=kernel).image[0])
        origin = model(image, kernel=kernel, history=history).origin
    assert trace.restoration.origin == origin
    # Small photos are shown as they are: each state is that of the full history.
    assert len(trace.history.states) == len(history.states)
    for small, whole in zip(trace.history.states, history.states, strict=True):
        for block in trace.blocks():
            assert torch.equal(small[block], whole[block])
    assert bool(trace.blocks()) == bool(history.states)


def test_what_is_shown_of_a_large_photo_is_small():
    model = unfold.create_model("tv-deblur", K=2).eval()
    image = torch.rand(1, 3, 500, 900)
    restored, trace = look(model, image, kernel=torch.full((1, 1, 3, 3), 1 / 9))
    assert restored.shape == (3, 500, 900)
    sizes = {picture.shape for shown in trace.blocks().values() for picture in shown.pictures}
    assert sizes == {(3, 233, 420)}
    mean = trace.restoration.image.mean((-2, -1)) - restored.mean((-2, -1))
    assert mean.abs().max() < 1e-3


def test_trust_is_shown_where_it_is_asked_for(image, kernel):
    model = unfold.create_model("tv-deblur", K=2).eval()
    plain, without = look(model, image, kernel=kernel)
    restored, found = look(model, image, kernel=kernel, trust=True)
    assert torch.equal(restored, plain)
    shown = view.inside(found)
    for layer in ("measured", "error bar, 90 %", "re-blur test"):
        assert f'alt="{layer}"' in shown
        assert f'alt="{layer}"' not in view.inside(without)
    assert re.search(r"\d+ % of the last update of I is data", shown)
    assert look(unfold.create_model("identity"), image, trust=True)[1].restoration.trust is None


def test_a_page_shows_every_stage_and_escapes_what_others_wrote(image, kernel):
    _, found = look(unfold.create_model("jude-classic", K=2).eval(), image, kernel=kernel)
    shown = view.inside(found)
    assert re.findall('data-stage="([^"]*)"( hidden)?', shown) == [
        ("start", " hidden"), ("stage 1 of 2", " hidden"), ("stage 2 of 2", ""),
    ]  # fmt: skip
    pictures = sum(len(s.pictures) for s in [*found.parts().values(), *found.blocks().values()])
    assert len(re.findall('src="data:image/jpeg;base64,[^"]{99}', shown)) == pictures
    assert shown.index('alt="kernel"') < shown.index('alt="I"')
    odd = dataclasses.replace(found, explanation="<b>&")
    assert "<pre>&lt;b&gt;&amp;</pre>" in view.inside(odd)
    pair = view.pair(image[0], 1 - image[0], 'a "b".png')
    assert re.findall('alt="(.*?)"', pair) == ["before", "after"]
    assert 'href="a &#34;b&#34;.png"' in pair
    assert "<b>" not in view.message("<b>", bad=True)
    assert "--cut" in view.style()


@pytest.mark.parametrize("name", unfold.list("models"))
def test_options_left_alone_are_the_models_own(name):
    fields = drawn(spec_type("models", name))
    values = [widget(option, field).value for option, field in fields.items()]
    assert chosen(fields, values) == {}
    if name != "declared":  # whose weights are no file
        assert not {"weights", "folder"} & set(fields)  # files of the machine that serves


def test_options_that_were_changed_are_validated_by_the_spec():
    fields = drawn(spec_type("models", "jude"))
    drawn_as = {"K": 2, "tied": True, "order": "paper", "prior": "ircnn"}
    estimator = {"kind": "kernel", "widths": [4, 8]}
    drawn_as["kernel_estimator"] = json.dumps(estimator)
    options = chosen(fields, [drawn_as.get(name) for name in fields])
    assert options == {**drawn_as, "kernel_estimator": estimator}
    spec = resolve("models", {"kind": "jude", **options})
    assert (spec.K, spec.order, spec.kernel_estimator.widths) == (2, "paper", (4, 8))
    assert json.loads(written(fields["kernel_estimator"])) == "kernel"


def test_untrained_models_are_refused_unless_asked_for():
    with pytest.raises(ComponentError, match="era requires training and no trained weights"):
        make_model("era", {"K": 1}, False)
    assert make_model("era", {"K": 1}, True).requires_training
    with pytest.raises(ComponentError, match="jude-classic: K: .*greater"):
        make_model("jude-classic", {"K": 0}, False)


def test_visitors_have_folders_of_their_own(tmp_path):
    visits = Visits(tmp_path)
    one, two = visits.of("1"), visits.of("2")
    assert visits.of("1") is one
    for visit in (one, two):
        visit.restored = visit.begin("a.png")
        visit.restored.write_bytes(visit.folder.name.encode())
    assert visits.restored(one.folder.name, "a.png") == one.restored
    assert visits.restored(one.folder.name, "../a.png") is None
    assert visits.restored("..", "a.png") is None
    visits.end("1")
    assert not one.folder.exists()
    assert visits.restored(one.folder.name, "a.png") is None
    assert two.restored.read_bytes() == two.folder.name.encode()
    two.begin("b.png")
    assert list(two.folder.iterdir()) == []


def test_visits_without_end_do_not_fill_the_disk(tmp_path):
    visits = Visits(tmp_path)
    first = visits.of("first")
    for number in range(70):
        visits.of(str(number))
    assert len(list(tmp_path.iterdir())) == 64
    assert not first.folder.exists()


def test_samples_are_dark_and_shaken_by_the_kernel_that_comes_with_them():
    assert set(SAMPLES) == {"astronaut", "chelsea", "coffee", "rocket"}
    bad, kernel = sample("coffee")
    sharp = torch.tensor(coffee()).permute(2, 0, 1)[None].float() / 255
    assert bad.shape == (3, 400, 600)
    assert kernel.sum().item() == pytest.approx(1)
    # Away from the border, and up to noise, by the sum that blur is.
    window = sharp[..., 180:221, 280:321].double()
    expected = 0.25 * torch.nn.functional.conv2d(
        window.transpose(0, 1), kernel.double().flip(-1, -2)
    )
    difference = bad[:, 190:211, 290:311] - expected[:, 0]
    assert 0.008 < difference.std() < 0.012
    again, _ = dark_and_shaken(sharp, torch.Generator().manual_seed(SAMPLES["coffee"]))
    assert torch.equal(again[0], bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no-such-model"], "no-such-model"),
        (["--device", "tpu9"], "device 'tpu9' cannot be used"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7, port 7860"),
        (["--port", "70000"], "cannot listen on 127.0.0.1, port 70000"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, message, capsys):
    assert main(["app", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
