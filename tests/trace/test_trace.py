"""Traces: the pictures are the states, and the page holds all of them."""

import re

import numpy as np
import pytest
import torch
from skimage.data import coffee

import unfold
from unfold.cli import main
from unfold.core import History
from unfold.imaging import Photo, read, write
from unfold.registry.spec import spec_type
from unfold.trace import show, trace, write_page

SKIPPED = {"trained", "cascade", "declared"}  # of files, and of others


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(0)
    return torch.tensor(coffee()[100:148, 200:256]).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def kernel():
    return torch.tensor([[0.25, 0.5, 0.25]])[None, None]


@pytest.mark.parametrize("name", [n for n in unfold.list("models") if n not in SKIPPED])
def test_every_model_can_be_traced(name, image, kernel, tmp_path):
    few = {"K": 2} if "K" in spec_type("models", name).model_fields else {}
    model = unfold.create_model(name, **few)
    found = trace(model, image, kernel=kernel)
    with torch.inference_mode():
        assert torch.equal(found.restoration.image, model.eval()(image, kernel=kernel).image)
    page = write_page(found, tmp_path, title=f"<{name}>").read_text()
    assert f"&lt;{name}&gt;" in page
    # It needs no other file: what it loads, it holds.
    assert all(
        source.startswith("data:image/") for source in re.findall(r'src="([^"]{0,40})', page)
    )
    assert all((tmp_path / link).is_file() for link in re.findall(r'href="([^"]+)"', page))
    for block in found.blocks():
        assert f"<h3>{block} " in page
    assert ("Curves" in page) == bool(found.history.states) == bool(found.history.entries)
    assert (read(tmp_path / "output.png").image - found.restoration.image[0]).abs().max() < 0.003


@pytest.mark.parametrize("name", ["jude-small", "era-small", "tv-deblur"])
def test_pictures_are_the_states_of_the_photo(name, image, kernel):
    torch.manual_seed(1)
    model = unfold.create_model(name)
    found = trace(model, image, kernel=kernel)
    stages = found.stages()
    assert (stages[0], stages[-1]) == (0, len(found.history.penalties))
    assert stages == sorted(set(stages))
    assert len(stages) <= 9
    assert set(found.blocks()) >= set(dict.fromkeys(e.block for e in found.history.entries))
    for block in {"I", "Z", "L", "X", "U", "E"} & set(found.restoration.parts):
        # The last state without its margin is what the model gives back.
        part = found.restoration.parts[block]
        (top, left), (height, width) = found.restoration.origin, image.shape[-2:]
        state = found.history.states[-1][block][..., top : top + height, left : left + width]
        assert torch.equal(state, part)


def test_all_pictures_of_a_row_have_one_scale():
    torch.manual_seed(0)
    x = torch.rand(3, 20, 20)
    small, large = show([0.05 * x, 0.2 * x]).pictures
    torch.testing.assert_close(4 * small[large < 1], large[large < 1])
    assert large.amax() > 0.98
    assert show([x]).scale == "as it is"
    torch.testing.assert_close(show([x]).pictures[0], x)


def test_signed_values_are_shown_around_gray():
    torch.manual_seed(0)
    x = torch.randn(1, 30, 30)
    (picture,) = show([x]).pictures
    assert picture.shape == (3, 30, 30)
    assert ((picture[0] > 0.5) == (x[0] > 0)).all()
    assert (show([0 * x]).pictures[0] == 0).all()


def test_what_is_not_finite_is_seen():
    x = torch.full((3, 4, 4), 0.7)
    x[1, 2, 3] = torch.nan
    (picture,) = show([x]).pictures
    assert picture[:, 2, 3].tolist() == [1, 0, 1]
    assert (show([x * torch.nan]).pictures[0][1] == 0).all()


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4), ()])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(ValueError, match=r"pictures are \(1 or 3, H, W\), got"):
        show([torch.zeros(shape)])


def test_curves(image, kernel):
    history = History()
    restoration = unfold.create_model("jude-classic", K=3)(image, kernel=kernel, history=history)
    assert restoration.history is history
    figure = restoration.history.plot()
    primal, dual, lagrangian, weights, seconds, _ = figure.axes
    line = next(x for x in primal.lines if x.get_label() == "Z")
    want = [e.primal.item() for e in history.entries if e.block == "Z"]
    np.testing.assert_allclose(line.get_ydata(), want)
    assert list(line.get_xdata()) == [1, 2, 3]
    assert len(dual.lines) == 6
    assert len(lagrangian.lines[0].get_xdata()) == len(history.entries)
    assert {x.get_label() for x in weights.lines} == set(history.penalties[0])
    total = sum(bar.get_height() for bar in seconds.patches)
    assert total == pytest.approx(1e3 * sum(e.seconds for e in history.entries))
    with pytest.raises(ValueError, match="the history is empty"):
        History().plot()


def test_the_command(image, tmp_path, capsys):
    write(tmp_path / "a b.png", Photo(image[0]))
    arguments = ["trace", str(tmp_path / "a b.png"), "--set", "K=3", "--device", "cpu"]
    assert main([*arguments, "-o", str(tmp_path / "page")]) == 0
    assert "index.html: open it in a browser" in capsys.readouterr().out
    assert "a b.png by jude-small" in (tmp_path / "page" / "index.html").read_text()
    assert main([*arguments, "-o", str(tmp_path / "a b.png")]) == 2
    assert "a b.png: cannot be read or written (File exists)" in capsys.readouterr().err
    assert main(["trace", str(tmp_path / "none.png"), "-o", str(tmp_path / "x")]) == 2
    assert "none.png" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert main([*arguments, "-o", str(tmp_path / "x"), "--max-pixels", "100"]) == 2
    assert not (tmp_path / "x").exists()


def test_models_in_a_row_show_their_parts(image, kernel, tmp_path):
    model = unfold.create_model("cascade", models=["tv-deblur", "jude-classic"])
    found = trace(model, image, kernel=kernel)
    page = write_page(found, tmp_path, title="both").read_text()
    assert "No stages" in page
    assert "<h3>1.image " in page


def test_one_photo(image):
    with pytest.raises(ValueError, match=r"one photo \(1, 3, H, W\) is traced, got \(2, 3"):
        trace(unfold.create_model("identity"), image.expand(2, -1, -1, -1))
