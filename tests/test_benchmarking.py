"""What is timed is what it is said to be; the numbers are what a clock and an allocator say."""

import pytest
import torch

import unfold
from unfold.benchmarking import (
    GROUPS,
    Case,
    PairedRun,
    Size,
    SkippedError,
    cases,
    measure,
    peak_memory,
    stages,
    terms,
    timing,
)
from unfold.benchmarking.imaging import imaging_cases, read_by_pillow, write_by_pillow
from unfold.benchmarking.networks import prior_pair
from unfold.benchmarking.registered import build, components
from unfold.benchmarking.report import seconds, size
from unfold.benchmarking.sample import photo
from unfold.benchmarking.startup import LIST, python
from unfold.benchmarking.yardstick import yardstick
from unfold.core import Prior
from unfold.imaging import Photo, read, write
from unfold.priors import IRCNN, ResUNet, SoftThreshold, TotalVariation

CPU = torch.device("cpu")
SMALL = Size(33, 40)
MEBI = 2**18  # floats in a MiB


@pytest.fixture
def clock():
    """Time passes only when ``clock.pass_by(seconds)`` is called."""

    class Clock:
        now = 0.0

        def pass_by(self, seconds):
            self.now += seconds

        def __call__(self):
            return self.now

    return Clock()


def test_calls_are_timed_in_turns_and_the_least_round_counts(clock):
    order, lasts = [], iter([3, 3, 9, 4, 2, 3, 9])

    def ours():
        order.append("ours")
        clock.pass_by(next(lasts))

    def baseline():
        order.append("baseline")
        clock.pass_by(5 if len(order) % 3 else 4)

    times = timing.compare(PairedRun(ours, baseline, "", share=0.5), CPU, 6, (1.0, 1.0), clock)
    assert order == ["baseline", "ours", "ours", "baseline"] * 3
    assert times == timing.Times(2, 2, 6)
    assert times.ratio == 1


@pytest.mark.parametrize(("lasts", "rounds"), [(1e-6, 20), (0.3, 4), (7.0, 1)])
def test_rounds_fill_two_seconds(clock, lasts, rounds):
    def call():
        clock.pass_by(lasts)

    times = timing.compare(PairedRun(call, call, ""), CPU, clock=clock)
    assert times.rounds == rounds
    assert times.seconds == pytest.approx(lasts)
    assert times.ratio == pytest.approx(1)


def test_peak_memory_counts_what_is_held_at_a_time():
    kept = torch.ones(MEBI)
    before = []

    def run():
        a = torch.ones(3 * MEBI)
        b = a + 1  # 6 MiB are held
        del a
        c = torch.ones(2 * MEBI)  # 5
        return [kept, b, c]

    assert peak_memory(run, CPU) == pytest.approx(6 * 2**20, abs=4096)
    assert peak_memory(lambda: [run(), run()], CPU) == pytest.approx(11 * 2**20, abs=4096)
    assert peak_memory(lambda: None, CPU) == 0

    peak_memory(lambda: before.append(torch.ones(4 * MEBI)), CPU)

    def exchange():  # what the call frees was not the call's
        before.clear()
        return torch.ones(2 * MEBI)

    assert peak_memory(exchange, CPU) == pytest.approx(2 * 2**20, abs=4096)


def test_peak_memory_of_work_on_files_counts_python_too():
    def run():
        return bytearray(2**20), torch.ones(MEBI)

    assert peak_memory(run, CPU) == pytest.approx(2**20, abs=4096)
    assert peak_memory(run, CPU, python=True) == pytest.approx(2**21, abs=2**16)


def test_a_network_is_held_against_its_multiplications():
    net = torch.nn.Conv2d(8, 4, 5, padding=2)
    x = torch.rand(1, 8, 16, 12)
    pair = yardstick(lambda: net(x), net, x)
    assert pair.share == pytest.approx((8 * 4 * 25) / (64 * 64 * 9))
    assert pair.baseline().shape == (1, 64, 16, 12)


class Smoothed(Prior):
    """Its convolution is a formula: there is nothing to learn."""

    def prox(self, v, step):
        return torch.nn.functional.avg_pool2d(v, 3, 1, 1) + torch.conv2d(v, v.new_ones(3, 3, 1, 1))


@pytest.mark.parametrize("make", [SoftThreshold, TotalVariation, Smoothed])
def test_what_is_no_network_is_held_against_two_transforms(make):
    pair = prior_pair(make(), SMALL, CPU)
    assert pair.share == 1
    assert pair.baseline().shape == (1, 3, *SMALL)
    assert "FFT" in pair.against


@pytest.mark.parametrize("name", unfold.list("terms"))
def test_what_is_timed_of_a_term_solves_its_equations(name):
    """The gradient of the Lagrangian in the block is zero after the step, warm start or not."""
    (component,) = [c for n, c in components("terms") if n == name]
    term = terms.make_term(component).double()
    problem = terms.pose(term, SMALL, CPU)
    entries = {n: t.double() for n, t in problem.state.items()}
    problem = terms.Problem(problem.lagrangian, problem.block, terms.State(entries))
    (step,) = terms.lower(problem.lagrangian, (problem.block,), terms.CG(2000, 1e-12))
    moved = problem.state.replace("split", problem.state["split"] + 0.1)
    gradient = problem.lagrangian.normal(problem.block, moved, {}).gradient(
        step(moved, {})[problem.block]
    )
    assert gradient.abs().max() < 1e-9
    assert moved["split"].std() > 0.05  # no constant picture, whose solve would say little

    hardest = {
        "convolution": "block",
        "filter-flow": "block",
        "gradient": "block",
        "retinex": "reflectance",
    }
    assert problem.block == hardest.get(name, problem.block)


def test_plain_cg_solves_the_same_to_the_same_residual():
    (component,) = [c for n, c in components("terms") if n == "filter-flow"]
    term = terms.make_term(component)
    problem = terms.pose(term, SMALL, CPU)
    state = problem.state.replace("split", problem.state["split"] + 0.1)
    normal = problem.lagrangian.normal(problem.block, state, {})
    rhs = normal.gradient(torch.zeros_like(state[problem.block])).norm()
    pair = terms.solve_pair(term, SMALL, CPU)
    assert "plain CG" in pair.against
    with torch.no_grad():
        plain = normal.gradient(terms.plain_cg(problem, state)).norm() / rhs
    assert terms.TOLERANCE / 100 < plain <= 1.05 * terms.TOLERANCE


@pytest.mark.parametrize("size", [Size(32, 32), Size(33, 47)], ids=str)
def test_deepinverse_solves_the_same(size):
    pytest.importorskip("deepinv")
    ours, theirs = terms.our_step(size, CPU), terms.deepinverse_step(size, CPU)[1]
    with torch.no_grad():
        torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-4)
        assert (ours() - terms._problem(size, CPU)[1]).abs().max() > 0.01


@pytest.mark.parametrize("make", [SoftThreshold, lambda: ResUNet(widths=(4, 8))])
def test_stages_by_hand_are_the_declared_ones(make):
    priors = [make().eval() for _ in range(3)]
    state = stages.start(Size(40, 36), CPU)
    with torch.no_grad():
        declared = stages.tied(priors)(state)["I"]
        hand = stages.by_hand(state["X"], state["H"], priors, stages.WEIGHTS, stages.ROUNDS)
    torch.testing.assert_close(declared, hand, rtol=1e-3, atol=1e-3)


def test_gradients_of_recomputed_stages_hold_less():
    (case,) = [c for c in stages.stage_cases(Size(64, 64)) if "recomputed" in c.name]
    row = measure(case, CPU, rounds=1)
    assert row.status == "ok", row.reason
    assert row.memory < 0.8 * row.baseline_memory


def test_pillow_reads_and_writes_the_same(tmp_path):
    image = photo(Size(20, 30), CPU)[0]
    write(tmp_path / "ours.png", Photo(image))
    write_by_pillow(tmp_path / "theirs.png", image)
    ours = read(tmp_path / "ours.png").image
    torch.testing.assert_close(ours, read(tmp_path / "theirs.png").image, rtol=0, atol=0)
    torch.testing.assert_close(ours, read_by_pillow(tmp_path / "ours.png"), rtol=0, atol=1e-6)


def test_imaging_leaves_no_files_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for case in imaging_cases(Size(32, 32)):
        row = measure(case, CPU, rounds=1)
        assert row.status == "ok", row.reason
        assert row.memory > 0
    assert not list(tmp_path.iterdir())


def test_processes_tell_their_own_memory_and_their_faults():
    hog = torch.ones(300 * MEBI)
    small, large = python("pass")(), python("x = b'1' * 2**26")()
    if small is not None:
        assert large - small == pytest.approx(2**26, rel=0.1)
        assert small < hog.numel()
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        python("1 / 0")()


def test_listing_with_torch_imported_fails():
    with pytest.raises(RuntimeError, match="listing imported torch"):
        python(LIST.replace('main(["list"])', 'sys.modules["torch"] = sys'))()


@pytest.mark.parametrize("group", ["terms", "priors", "models", "metrics"])
def test_everything_installed_has_a_case(group):
    names = [c.name for c in cases([group], [SMALL]) if c.provider]
    assert names == [name for name, _ in components(group)]
    assert set(unfold.list(group)) <= set(names)


def test_default_cases_are_small_and_the_stated_ones_large_too():
    found = {str(case) for case in cases()}
    assert {
        "terms/convolution/256x256", "terms/convolution/720x1280",
        "terms/convolution, DeepInverse/256x256", "terms/convolution, DeepInverse/720x1280",
        "terms/filter-flow/256x256", "stages/5 stages, resunet/256x256",
        "stages/gradient of 5 stages, recomputed/256x256", "models/jude/256x256",
        "startup/import unfold", "startup/unfold list",
    } <= found  # fmt: skip
    assert len([name for name in found if "720x1280" in name]) == 2
    assert {case.group for case in cases()} == set(GROUPS)
    assert [str(c) for c in cases(["priors"], [SMALL], "irc*")] == [f"priors/ircnn/{SMALL}"]


@pytest.mark.parametrize("name", ["box", "resunet", "total-variation"])
def test_a_prior_is_measured(name):
    (case,) = cases(["priors"], [SMALL], name)
    row = measure(case, CPU, rounds=2)
    assert (row.status, row.rounds, row.device, row.size) == ("ok", 2, "cpu", "33x40")
    assert row.provider.startswith("unfold-imaging ")
    assert row.ratio == pytest.approx(row.seconds / row.bound_seconds)
    assert row.memory >= 3 * 33 * 40 * 4  # what it returns


def test_what_needs_options_or_weights_is_skipped_and_what_breaks_fails():
    (trained,) = cases(["models"], [SMALL], "trained")
    row = measure(trained, CPU)
    assert (row.status, row.reason) == ("skipped", "its options have no default: folder")

    def prepare(error):
        def raising(device):
            raise error

        return Case("priors", "acme", SMALL, raising)

    assert measure(prepare(SkippedError("no\nweights")), CPU).reason == "no weights"
    row = measure(prepare(OSError("gone")), CPU)
    assert (row.status, row.reason) == ("failed", "OSError: gone")
    row = measure(prepare(SystemExit(3)), CPU)
    assert row.status == "failed"
    with pytest.raises(KeyboardInterrupt):
        measure(prepare(KeyboardInterrupt()), CPU)


def test_components_are_built_with_their_defaults():
    (component,) = [c for n, c in components("priors") if n == "ircnn"]
    prior = build(component, 3)
    assert isinstance(prior, IRCNN)
    assert prior.prox(torch.rand(1, 3, 8, 8), torch.ones(1, 1, 1, 1)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("text", "want"), [("256", (256, 256)), ("720p", (720, 1280)), ("48x64", (48, 64))]
)
def test_sizes(text, want):
    assert Size.parse(text) == want
    assert Size.parse(str(Size.parse(text))) == want


@pytest.mark.parametrize("text", ["", "x", "12", "axb", "256x", "-256", "256x256x256", "2e3"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="must be a side such as 256"):
        Size.parse(text)


def test_numbers_in_fitting_units():
    assert [seconds(s) for s in (2.5, 0.0123, 4.56e-6, 1e-9)] == [
        "2.5 s", "12.3 ms", "4.56 µs", "1 ns",
    ]  # fmt: skip
    assert [size(n) for n in (12, 2048, 3 * 2**20)] == ["12 B", "2.0 KiB", "3.0 MiB"]
