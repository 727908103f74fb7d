"""Steps that are compiled: one graph, the same numbers, real arithmetic that fuses to one loop."""

import pytest
import torch
from packaging.version import Version
from systems import random_kernel

from unfold.core import Constraint, Equal, Lagrangian, Quadratic, Regularizer, State, lower
from unfold.models import fast as module
from unfold.models.fast import fast
from unfold.models.presets import era_small
from unfold.priors import SoftThreshold
from unfold.terms import Convolution, Retinex


def deblurring():
    return Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), "w1"),
        Constraint(Equal("I", "Z"), penalty="w2", dual="D"),
        Regularizer("Z", SoftThreshold(), "z"),
    ), ("I", "Z", "D")


def retinex():
    return Lagrangian(
        Quadratic(Retinex("X", reflectance="I", illumination="Z"), "w1"),
        Constraint(Equal("I", "H"), penalty="w2", dual="D"),
        Regularizer("I", SoftThreshold(), "z"),
    ), ("I", "Z", "H", "D")


def rounds(system):
    lagrangian, order = system
    steps = lower(lagrangian, order)

    def run(entries, penalties):
        state = State(entries)
        for step in steps:
            state = step(state, penalties)
        return [state[name] for name in order]

    return run


def entries(system):
    torch.manual_seed(0)
    state = {name: torch.rand(2, 3, 12, 15).double() for name in "XIZD"}
    blurred = system is deblurring
    return state | {"H": random_kernel(size=(5, 4)) if blurred else torch.rand_like(state["X"])}


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


whole_graphs = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.14"), reason="Dynamo up to 2.12 breaks these graphs"
)


@whole_graphs
@pytest.mark.parametrize("system", [deblurring, retinex])
@pytest.mark.parametrize("tensors", [False, True], ids=["numbers", "learned"])
def test_a_round_is_one_graph_and_the_same_numbers(system, tensors):
    # (Seconds to import, for these tests alone.)
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    penalties = {"w1": 1.3, "w2": 0.2, "z": 0.01}
    if tensors:
        penalties = {name: torch.full((2, 1, 1, 1), w).double() for name, w in penalties.items()}
    run, state = rounds(system()), entries(system)
    want = run(state, penalties)
    graphs = []

    def capture(graph, _):
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    with torch.no_grad():
        compiled = torch.compile(run, backend=aot_autograd(fw_compiler=capture), fullgraph=True)
        got = compiled(state, penalties)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    (graph,) = graphs
    arithmetic = [
        node
        for node in graph.graph.nodes
        if node.op == "call_function"
        and node.target.overloadpacket in (torch.ops.aten.mul, torch.ops.aten.add)
        and node.meta["val"].is_complex()
    ]
    # No compiler fuses complex numbers. (The one is conj(F H) F X, computed once for all rounds.)
    assert len(arithmetic) == (system is deblurring)


@whole_graphs
def test_gradients_pass_the_same():
    run, state = rounds(deblurring()), entries(deblurring)
    grads = []
    for function in (run, torch.compile(run, backend="aot_eager", fullgraph=True)):
        penalties = {n: torch.tensor(w).double().requires_grad_() for n, w in
                   {"w1": 1.3, "w2": 0.2, "z": 0.01}.items()}  # fmt: skip
        sum(x.square().sum() for x in function(state, penalties)).backward()
        grads.append([w.grad for w in penalties.values()])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@torch.inference_mode()
def test_compiled_stages_restore_the_same():
    torch.manual_seed(0)
    prior = {"kind": "resunet", "widths": (4, 8)}
    model = era_small(K=2, prior=prior, kernel_estimator={"kind": "kernel", "size": 5}).eval()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.02 * torch.randn_like(p)
    photo = torch.rand(1, 3, 32, 48)
    quick = fast(model, compiled=True, bfloat16=False)
    torch.testing.assert_close(quick(photo).image, model(photo).image, rtol=0, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2


def test_without_a_compiler_a_warning_says_so(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no compiler\nhere")

    monkeypatch.setattr(torch, "compile", fail)
    module._compiles.cache_clear()
    with pytest.warns(UserWarning, match=r"are not compiled \(no compiler here\)"):
        assert not module._compiles(torch.device("cpu"))
    module._compiles.cache_clear()
