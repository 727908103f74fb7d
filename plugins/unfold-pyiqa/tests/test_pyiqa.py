"""What the wrapper asks of pyiqa, with a stand-in for it; and what it says where there is none."""

import sys
import types

import pytest
import torch
from unfold_pyiqa import ARNIQA, CLIPIQA, DBCNN, LIQE, MUSIQ, NRQM

from unfold.metrics import MetricError
from unfold.registry.spec import resolve
from unfold.testing import checks

CLASSES = [ARNIQA, CLIPIQA, DBCNN, LIQE, MUSIQ, NRQM]
NAMES = ["arniqa", "clipiqa", "dbcnn", "liqe", "musiq", "nrqm"]
PAIRS = list(zip(CLASSES, NAMES, strict=True))


class Network(torch.nn.Module):
    """Stands for pyiqa's model: one picture in [0, 1], float32, three channels; smoother is better.

    Like pyiqa's, it gives ``(1, 1)`` or ``(1,)``, and is stricter than it need be.
    """

    lower_better = False

    def forward(self, picture):
        assert picture.shape[:2] == (1, 3)
        assert picture.dtype == torch.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert not self.training
        rough = picture.diff(dim=-1).abs().mean() + picture.diff(dim=-2).abs().mean()
        return (1 - rough).view(1, 1)


@pytest.fixture
def pyiqa(monkeypatch):
    """A module ``pyiqa`` that keeps what it was asked for."""
    made = types.ModuleType("pyiqa")
    made.asked = []

    def create_metric(name, *, device=None):
        made.asked.append((name, device))
        return Network().train()

    made.create_metric = create_metric
    monkeypatch.setitem(sys.modules, "pyiqa", made)
    return made


@pytest.fixture
def no_pyiqa(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)  # importing it fails from here on


@pytest.mark.parametrize(("cls", "name"), PAIRS)
def test_each_asks_for_the_metric_of_its_name(cls, name, pyiqa):
    cls()
    assert pyiqa.asked == [(name, torch.device("cpu"))]


def test_values_are_pyiqas(pyiqa):
    image = torch.rand(3, 3, 20, 30, dtype=torch.float64)
    values = MUSIQ()(image)
    net = Network().eval()
    want = torch.stack([net(p[None].float()).squeeze() for p in image]).double()
    assert values.dtype == torch.float64
    torch.testing.assert_close(values, want)
    assert MUSIQ()(1.5 * image[:1] - 0.2).isfinite()  # clipped, not refused
    gray = image[:, :1]
    torch.testing.assert_close(MUSIQ()(gray), MUSIQ()(gray.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("check", checks("metrics", NRQM), ids=str)
def test_conformance(check, pyiqa):
    check()


@pytest.mark.parametrize("name", NAMES)
def test_found_by_name(name, pyiqa):
    assert type(resolve("metrics", f"pyiqa-{name}").build()).__name__.lower() == name


def test_one_whose_direction_changed_is_refused(pyiqa, monkeypatch):
    monkeypatch.setattr(Network, "lower_better", True)
    with pytest.raises(MetricError, match="lower is better, unlike"):
        LIQE()


def test_weights_that_cannot_be_had_are_told_in_a_line(pyiqa):
    def offline(name, *, device=None):
        raise OSError("<urlopen error\n Name or service not known>")

    pyiqa.create_metric = offline
    with pytest.raises(MetricError, match=r"pyiqa-dbcnn: pyiqa cannot build it \(<urlopen") as e:
        DBCNN()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("cls", "name"), PAIRS)
def test_without_pyiqa_it_says_what_to_install(cls, name, no_pyiqa):
    with pytest.raises(MetricError, match=rf"pyiqa-{name} needs pyiqa.*pip install pyiqa"):
        cls()


def test_what_pyiqa_itself_lacks_is_told(pyiqa):
    def create_metric(name, *, device=None):
        import no_such_module  # noqa: F401

    pyiqa.create_metric = create_metric
    with pytest.raises(MetricError, match=r"pyiqa lacks something \(No module .*pip install pyiqa"):
        CLIPIQA()


def test_pyiqa_is_not_imported_before_a_metric_is_built(no_pyiqa, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "unfold_pyiqa"]:
        monkeypatch.delitem(sys.modules, name)
    import unfold_pyiqa as again

    assert sorted(again.__all__) == sorted(cls.__name__ for cls in CLASSES)
