"""LPIPS: its check pairs where the weights are; its conduct without them."""

import os
import socket
import sys
from pathlib import Path

import pytest
import torch

from unfold.imaging import read
from unfold.metrics import LPIPS, MetricError
from unfold.metrics.lpips import _distance

DATA = Path(os.environ.get("UNFOLD_DATA", "")) / "weights" / "lpips"
ALEX = DATA / "alexnet_features_torchvision.pth"
needs_weights = pytest.mark.skipif(
    not os.environ.get("UNFOLD_DATA") or not ALEX.is_file(),
    reason="AlexNet's weights are in the folder named by UNFOLD_DATA",
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """No weights in the cache, and whoever reaches for the network fails."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def refuse(*arguments, **options):
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)


@pytest.fixture(scope="module")
def random_alex(tmp_path_factory):
    """A file as torchvision's, of random weights, and the distance that has them."""
    distance = _distance("alex")
    state = {f"features.{n.partition('.')[2]}": v for n, v in distance.net.state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "alex.pth"
    torch.save({**state, "classifier.1.weight": torch.zeros(2)}, path)
    return path, distance


def check_image(name):
    return read(DATA / "check_images" / f"{name}.png").image[None]


@needs_weights
@pytest.mark.parametrize(("name", "value"), [("ex_p0", 0.7219), ("ex_p1", 0.1376)])
def test_published_check_pairs(name, value):
    metric = LPIPS(weights=ALEX)
    assert metric(check_image(name), check_image("ex_ref")).item() == pytest.approx(value, abs=5e-5)


@needs_weights
def test_weights_without_the_later_layers_are_refused():
    with pytest.raises(MetricError, match=r"lacks features\.17\.weight, .* \.\.\.: give"):
        LPIPS(net="vgg", weights=DATA / "vgg16_features_to_relu3_3_fp16.pth")


def test_a_file_fills_the_network(random_alex):
    path, distance = random_alex
    x, y = torch.rand(2, 3, 40, 50), torch.rand(2, 3, 40, 50)
    want = distance(2 * x - 1, 2 * y - 1).flatten()
    metric = LPIPS(weights=path)
    torch.testing.assert_close(metric(x, y), want.double())
    metric.train()  # dropout must not come on
    torch.testing.assert_close(metric(x, y), want.double())
    as_jude = LPIPS(weights=path, input_range="[0,1]")
    torch.testing.assert_close(as_jude(x, y), distance(x, y).flatten().double())
    assert (as_jude(x, y) - want).abs().min() > 1e-4
    grey = x[:, :1], y[:, :1]
    colour = [t.repeat(1, 3, 1, 1) for t in grey]
    torch.testing.assert_close(metric(*grey), metric(*colour))


def test_building_it_draws_nothing_from_the_callers_random_numbers(random_alex):
    torch.manual_seed(4)
    want = torch.rand(3)
    torch.manual_seed(4)
    LPIPS(weights=random_alex[0])
    assert torch.equal(torch.rand(3), want)


def test_the_cache_is_looked_into(random_alex, monkeypatch, tmp_path):
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(random_alex[0].read_bytes())
    x, y = torch.rand(1, 3, 40, 50), torch.rand(1, 3, 40, 50)
    torch.testing.assert_close(LPIPS()(x, y), LPIPS(weights=random_alex[0])(x, y))


@pytest.mark.parametrize(
    ("net", "file"), [("alex", "alexnet-owt-7be5be79.pth"), ("vgg", "vgg16-397923af.pth")]
)
def test_without_weights_it_says_which_and_where(net, file, tmp_path):
    with pytest.raises(MetricError) as caught:
        LPIPS(net=net)
    message = str(caught.value)
    assert f"https://download.pytorch.org/models/{file}" in message
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / file) in message
    assert "\n" not in message
    with pytest.raises(MetricError, match="there is no file"):
        LPIPS(net=net, weights=tmp_path / "gone.pth")


class Harm:
    def __reduce__(self):
        return (sys.exit, (3,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"features.0.weight": Harm()}, "is no file of plain tensors"),
        ([torch.zeros(1)], "holds no state dict"),
        ({"features.0.weight": torch.zeros(1)}, r"lacks features\.0\.bias"),
    ],
)
def test_nothing_else_is_unpickled(content, message, tmp_path):
    path = tmp_path / "file.pth"
    torch.save(content, path)
    with pytest.raises(MetricError, match=message):
        LPIPS(weights=path)


def test_weights_of_another_network_are_refused(random_alex, tmp_path):
    state = torch.load(random_alex[0], weights_only=True)
    state["features.0.weight"] = state["features.0.weight"][:, :, 1:]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(MetricError, match="holds the weights of another network"):
        LPIPS(weights=tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(MetricError, match="is no file of plain tensors"):
        LPIPS(weights=tmp_path / "text.pth")


def test_a_picture_too_small_is_refused(random_alex):
    metric = LPIPS(weights=random_alex[0])
    assert metric(torch.rand(1, 3, 31, 31), torch.rand(1, 3, 31, 31)).isfinite().all()
    with pytest.raises(ValueError, match=r"LPIPS \(alex\) needs 31 pixels a side, got 31×30"):
        metric(torch.rand(1, 3, 30, 31), torch.rand(1, 3, 30, 31))
