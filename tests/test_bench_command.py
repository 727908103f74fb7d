"""`unfold bench` as a user types it."""

import json
import sys

import pytest
import torch
from distributions import install

from unfold.benchmarking import GROUPS, Size, SwapError, measure, swap_cases
from unfold.benchmarking.row import BenchmarkRow
from unfold.cli import bench, main
from unfold.priors import IRCNN, ResUNet
from unfold.registry import ComponentError
from unfold.registry.spec import _spec_type

TINY = ["--size", "32", "--rounds", "1", "--device", "cpu"]
GOOD = """
from unfold.core import Prior
class Good(Prior):
    def prox(self, v, step):
        return v / (1 + step)
class Bad(Good):
    def __init__(self):
        raise RuntimeError("out of\\norder")
class Worse(Good):
    def prox(self, v, step):
        raise ZeroDivisionError("no prox today")
class Needy(Good):
    def __init__(self, *, weights: str):
        super().__init__()
"""
POINTS = "".join(f"acme-{name} = acme_bench:{name.title()}\n" for name in ("good", "bad", "worse"))


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A plugin with a prior that works, three that do not, and one that needs an option."""
    monkeypatch.syspath_prepend(str(tmp_path))
    _spec_type.cache_clear()
    points = POINTS + "acme-gone = acme_bench:Gone\nacme-needy = acme_bench:Needy\n"
    install(tmp_path, "acme-bench", f"[unfold.priors]\n{points}", acme_bench=GOOD)
    yield
    _spec_type.cache_clear()
    sys.modules.pop("acme_bench", None)


def test_a_plugin_that_fails_is_one_row_and_the_rest_goes_on(acme, tmp_path, capsys):
    file = tmp_path / "out.json"
    status = main(["bench", "--group", "priors", "--only", "acme-*", "--output", str(file), *TINY])
    assert status == 1
    printed = capsys.readouterr().out
    document = json.loads(file.read_text())
    rows = {row["name"]: row for row in document["rows"]}
    assert {name: row["status"] for name, row in rows.items()} == {
        "acme-good": "ok", "acme-bad": "failed", "acme-worse": "failed", "acme-gone": "failed",
        "acme-needy": "skipped",
    }  # fmt: skip
    assert rows["acme-bad"]["reason"] == "RuntimeError: out of order"
    assert rows["acme-worse"]["reason"] == "ZeroDivisionError: no prox today"
    assert rows["acme-needy"]["reason"] == "its options have no default: weights"
    assert rows["acme-good"]["provider"] == "acme-bench 1.2"
    assert "| priors | acme-good | 32x32 |" in printed
    for name in ("bad", "worse", "gone"):
        assert f"failed: priors/acme-{name}: " in printed
    assert "skipped: priors/acme-needy: " in printed


def test_json_has_the_documented_keys(tmp_path, capsys):
    file = tmp_path / "out.json"
    assert main(["bench", "--group", "metrics", "--only", "psnr", "-o", str(file), *TINY]) == 0
    document = json.loads(file.read_text())
    assert document["format"] == "unfold-bench/1"
    assert document["complete"] is True
    (row,) = document["rows"]
    assert list(row) == list(BenchmarkRow.__dataclass_fields__)
    assert (row["group"], row["name"], row["size"], row["rounds"]) == (
        "metrics",
        "psnr",
        "32x32",
        1,
    )
    assert row["ratio"] == pytest.approx(row["seconds"] / row["bound_seconds"])
    facts = document["environment"]
    assert {"unfold", "torch", "python", "processor", "cores", "threads", "device", "date"} <= set(
        facts
    )
    title = capsys.readouterr().out.splitlines()[0]
    for key in ("unfold", "torch", "python", "processor", "cores"):
        assert str(facts[key]) in title
    assert list(tmp_path.iterdir()) == [file]


def test_stopped_early_it_tells_what_it_has(tmp_path, capsys, monkeypatch):
    file = tmp_path / "out.json"
    calls = []

    def measured(case, device, rounds):
        calls.append(case)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return BenchmarkRow(
            case.group, case.name, str(case.size), "", "cpu", "skipped", "for the test"
        )

    monkeypatch.setattr("unfold.benchmarking.measure", measured)
    assert main(["bench", "--group", "priors", "--output", str(file), *TINY]) == 130
    document = json.loads(file.read_text())
    assert document["complete"] is False
    assert [row["name"] for row in document["rows"]] == [case.name for case in calls[:2]]
    assert "stopped" in capsys.readouterr().err


def test_a_table_outlives_a_file_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unfold.benchmarking.report.replace_file", full)
    file = tmp_path / "out.json"
    command = ["bench", "--group", "metrics", "--output", str(file), *TINY]
    assert main([*command, "--only", "[mp]*[er]"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("cannot be written (No space left on device)") == 1
    assert "| metrics | mae " in captured.out
    assert "| metrics | psnr" in captured.out
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--swap", "prior"], "must be OPTION=NAME"),
        (["--swap", "=ircnn"], "must be OPTION=NAME"),
        (["--swap", "color=*"], "no installed model has an option 'color'"),
        (["--swap", "K=3"], "kernel_estimator, light_prior, noise, prior"),
        (["--swap", "prior=irc"], "did you mean ircnn"),
        (["--swap", "prior=zz*"], "no prior matches; installed:"),
        (["--swap", "prior={"], "is not a config"),
        (["--swap", 'prior={"width": 3}'], 'it has no "kind"'),
        (["--swap", "prior=*", "--group", "terms"], "cannot be combined with --group"),
        (["--size", "big"], "must be a side such as 256"),
        (["--only", "nothing-is-called-this"], "no component to measure matches"),
        (["--device", "tpu9"], "cannot be used"),
        (["--output", "/no/such/folder/x.json"], "cannot be written there"),
    ],
)
def test_commands_that_cannot_be_done_say_so_in_a_line(capsys, arguments, message):
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_groups_are_those_that_there_are():
    assert set(bench._GROUPS) == set(GROUPS)


def test_swap_puts_the_prior_into_every_model_that_takes_one():
    found = list(swap_cases("prior=ircnn", Size(32, 32)))
    models = {case.name.partition(",")[0] for case in found}
    assert {"jude", "jude-small", "era", "era-small"} <= models
    assert "jude-classic" in models
    assert not models & {"identity", "lednet"}
    (case,) = [case for case in found if case.name == "era-small, prior=ircnn"]
    pair = case.prepare(torch.device("cpu"))
    swapped, own = pair.run.func, pair.baseline.func
    count = {
        (net, kind): sum(isinstance(m, kind) for m in net.modules())
        for net in (swapped, own)
        for kind in (IRCNN, ResUNet)
    }
    assert count[swapped, IRCNN] == count[own, ResUNet] > 1
    assert count[swapped, ResUNet] == count[own, IRCNN] == 0
    with torch.no_grad():
        assert pair.run().image.shape == pair.baseline().image.shape == (1, 3, 32, 32)


def test_swap_takes_options():
    config = 'prior={"kind": "ircnn", "width": 4}'
    (case,) = [c for c in swap_cases(config, Size(32, 32)) if c.name.startswith("jude-small")]
    swapped = case.prepare(torch.device("cpu")).run.func
    assert {m.net[0].out_channels for m in swapped.modules() if isinstance(m, IRCNN)} == {4}


def test_swapping_all_priors_has_a_row_for_each(acme):
    found = [c for c in swap_cases("prior=*", Size(32, 32)) if c.name.startswith("era-small")]
    names = [case.name.partition("=")[2] for case in found]
    assert {"resunet", "ircnn", "total-variation", "acme-good", "acme-bad"} <= set(names)
    bad = measure(found[names.index("acme-bad")], torch.device("cpu"))
    assert (bad.status, bad.reason) == ("failed", "RuntimeError: out of order")
    needy = measure(found[names.index("acme-needy")], torch.device("cpu"))
    assert (needy.status, needy.reason) == ("skipped", "its options have no default: weights")
    good = measure(found[names.index("acme-good")], torch.device("cpu"), rounds=1)
    assert (good.status, good.against) == ("ok", "with its own prior")


def test_a_prior_of_one_step_an_image_fits_every_model(tmp_path, monkeypatch, acme):
    text = GOOD + "class Flat(Good):\n    accepts_map = False\n"
    (tmp_path / "acme_bench.py").write_text(text)
    points = "[unfold.priors]\nacme-flat = acme_bench:Flat\n"
    (tmp_path / "acme_bench-1.2.dist-info" / "entry_points.txt").write_text(points)
    (case,) = [c for c in swap_cases("prior=acme-flat", Size(32, 32)) if "jude-small" in c.name]
    assert measure(case, torch.device("cpu")).status == "ok"


def test_swap_errors_are_of_their_kind():
    with pytest.raises(SwapError):
        list(swap_cases("prior", Size(32, 32)))
    with pytest.raises(ComponentError):
        list(swap_cases("prior=irc", Size(32, 32)))
