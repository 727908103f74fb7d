"""`unfold evaluate --swap`: a table of one model with each component that matches."""

import csv
import json
import sys

import numpy as np
import pytest
from distributions import install
from PIL import Image
from skimage.data import coffee

from unfold.cli import main
from unfold.models.deconvolution import Deconvolution
from unfold.models.weights import save_model
from unfold.registry.spec import _spec_type, resolve
from unfold.restorer import Restoration

PRIORS = """
from unfold.core import Prior
class Same(Prior):
    def prox(self, v, step):
        return v
class Half(Prior):
    def prox(self, v, step):
        return v / 2
class Untrained(Same):
    requires_training = True
class Weightless(Same):
    def __init__(self):
        raise ValueError("acme's net needs\\nweights: set weights to a file")
class Missing(Same):
    def __init__(self, *, weights: str):
        super().__init__()
class Broken(Same):
    def __init__(self):
        raise ZeroDivisionError("no prior today")
class Faulty(Same):
    def prox(self, v, step):
        raise RuntimeError("no prox today")
"""
NAMES = ("same", "half", "untrained", "weightless", "missing", "broken", "faulty")


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A plugin with two priors that can be measured, and some that cannot."""
    monkeypatch.syspath_prepend(str(tmp_path))
    _spec_type.cache_clear()
    points = "".join(f"acme-{name} = acme_swap:{name.title()}\n" for name in NAMES)
    install(tmp_path, "acme-swap", f"[unfold.priors]\n{points}", acme_swap=PRIORS)
    yield
    _spec_type.cache_clear()
    sys.modules.pop("acme_swap", None)


@pytest.fixture
def data(tmp_path):
    """Three photos, hardly blurred, with their kernels."""
    root = tmp_path / "data"
    for folder in ("input", "target", "kernel"):
        (root / folder).mkdir(parents=True)
    kernel = np.zeros((3, 3))
    kernel[1, 1] = 1
    for i in range(3):
        clean = coffee()[50 * i : 50 * i + 32, 100:140]
        Image.fromarray(clean).save(root / "target" / f"{i}.png")
        Image.fromarray(clean // 16 * 16).save(root / "input" / f"{i}.png")
        np.save(root / "kernel" / f"{i}.npy", kernel)
    return root


def command(data, swap, *more, model="plug-and-play"):
    return ["evaluate", "--model", model, "--swap", swap, "--data", str(data), "--dataset",
            "paired", "--set-data", "kernel=kernel", "--protocol", "gopro", "--device", "cpu",
            *map(str, more)]  # fmt: skip


def table(text):
    """The rows of a printed table, as lists of cells."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_component_is_a_row_and_the_best_comes_first(data, acme, capsys):
    assert main(command(data, "prior=acme-*")) == 1, "a component failed"
    heads, *rows = table(capsys.readouterr().out)
    assert heads == ["component", "from", "psnr [dB]", "ssim", "s a photo", ""]
    assert [row[0] for row in rows] == [
        "acme-same", "acme-half", "acme-broken", "acme-faulty", "acme-missing", "acme-untrained",
        "acme-weightless",
    ]  # fmt: skip
    same, half, broken, faulty, missing, untrained, weightless = rows
    assert {row[1] for row in rows} == {"acme-swap 1.2"}
    assert float(same[2]) > float(half[2]) > 0
    assert float(same[4]) > 0
    for row in (broken, faulty, missing, untrained, weightless):
        assert row[2:5] == ["–"] * 3
    assert broken[-1] == "ZeroDivisionError: no prior today"
    assert faulty[-1] == "3 of 3 photos failed: no prox today"
    assert "weights: is required" in missing[-1]
    assert untrained[-1] == "requires training"
    refusal = "the prior 'acme-weightless' cannot be built: acme's net needs weights: "
    assert weightless[-1].startswith(refusal)


def test_what_does_not_fit_is_no_failure(data, capsys):
    assert main(command(data, "noise=[nk]*")) == 0
    _, *rows = table(capsys.readouterr().out)
    names = [row[0] for row in rows]
    assert names == ["noise", "kernel", "noise-powers"]
    assert rows[0][-1] == ""
    for row in rows[1:]:
        assert f"'{row[0]}' cannot serve as noise estimator" in row[-1]


def test_the_numbers_are_those_of_an_evaluation_alone(data, tmp_path):
    alone, swapped = tmp_path / "alone.json", tmp_path / "swapped.json"
    words = command(data, "prior=box", "--set", "K=3", "--strength", "2", "-o", swapped)
    assert main(words) == 0
    at = words.index("--swap")
    words = [*words[:at], *words[at + 2 : -1], str(alone), "--set", "prior=box"]
    assert main(words) == 0
    report, comparison = (json.loads(path.read_text()) for path in (alone, swapped))
    assert (comparison["format"], comparison["format_version"]) == ("unfold-comparison", 1)
    (entry,) = comparison["entries"]
    assert [r["values"] for r in entry["report"]["rows"]] == [r["values"] for r in report["rows"]]
    theirs, ours = entry["report"]["model"]["config"], report["model"]["config"]
    assert theirs == ours
    assert (ours["prior"]["kind"], ours["K"], ours["strength"]) == ("box", 3, 2)


def test_all_formats_hold_the_same_table(data, acme, tmp_path, capsys):
    paths = {suffix: tmp_path / f"r.{suffix}" for suffix in ("json", "csv", "md")}
    files = [word for path in paths.values() for word in ("-o", path)]
    assert main(command(data, "prior=acme-[suw]*", *files)) == 0
    printed = table(capsys.readouterr().out)
    assert table(paths["md"].read_text()) == printed
    head, *lines = paths["csv"].read_text().splitlines()
    assert json.loads(head[2:])["option"] == "prior"
    rows = list(csv.DictReader(lines))
    entries = json.loads(paths["json"].read_text())["entries"]
    names = [row[0] for row in printed[1:]]
    assert names == [row["component"] for row in rows] == [e["component"] for e in entries]
    assert [e["status"] for e in entries] == ["measured", "skipped", "skipped"]
    assert [row["status"] for row in rows] == ["measured", "skipped", "skipped"]
    assert (rows[0]["photos"], rows[0]["failed"]) == ("3", "0")
    assert f"{float(rows[0]['psnr']):.4f}" == printed[1][2]
    mean = entries[0]["report"]["summary"]["metrics"]["psnr"]["mean"]
    assert f"{mean:.4f}" == printed[1][2]


def test_a_metric_where_less_is_better_has_the_least_first(data, acme, capsys):
    more = ["--without", "psnr", "--without", "ssim", "--also", "mae"]
    assert main(command(data, "prior=acme-[sh]*", *more)) == 0
    _, *rows = table(capsys.readouterr().out)
    assert [row[0] for row in rows] == ["acme-same", "acme-half"]
    assert float(rows[0][2]) < float(rows[1][2])


def test_a_photo_that_cannot_be_read_costs_the_exit_status(data, acme, capsys):
    (data / "kernel" / "1.npy").write_bytes(b"no kernel")
    assert main(command(data, "prior=acme-same")) == 1
    _, row = table(capsys.readouterr().out)
    assert float(row[2]) > 0
    assert row[-1].startswith("1 of 3 photos failed: ")


def test_interrupted_it_writes_what_there_is(data, acme, tmp_path, monkeypatch, capsys):
    calls = []

    def stop(self, image, **options):
        calls.append(image)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return Restoration(image)

    monkeypatch.setattr(Deconvolution, "forward", stop)
    report = tmp_path / "r.json"
    assert main(command(data, "prior=acme-[shu]*", "-o", report)) == 130
    found = json.loads(report.read_text())
    assert not found["complete"]
    counts = {e["component"]: len(e["report"]["rows"]) for e in found["entries"]}
    assert counts == {"acme-half": 3, "acme-same": 1}
    assert "Incomplete" in capsys.readouterr().out


def test_interrupted_while_a_model_is_built_it_writes_what_there_is(
    data, acme, tmp_path, monkeypatch
):
    (tmp_path / "acme_swap.py").write_text(
        PRIORS.replace('ZeroDivisionError("no prior today")', "KeyboardInterrupt")
    )
    report = tmp_path / "r.json"
    assert main(command(data, "prior={}", "-o", report)) == 2
    assert main(command(data, "prior=acme-[bhs]*", "-o", report)) == 130
    assert json.loads(report.read_text())["entries"] == []


def test_an_option_of_a_component_in_the_model_is_swapped(data, tmp_path, capsys):
    """The denoiser that the learned weights were trained with stays; its prior is another."""
    options = {"K": 1, "blur": "convolution", "exposure": None, "enhancer": None}
    small = {"kind": "total-variation", "iterations": 2}
    spec = resolve("models", {
        "kind": "jude-small", **options, "prior": "box", "light_prior": "box",
        "denoiser": {"kind": "prior-denoiser", "prior": small},
        "kernel_estimator": {"kind": "kernel", "size": 3, "widths": (2, 2)},
    })  # fmt: skip
    save_model(tmp_path / "m", spec.build().state_dict(), spec, needs={})
    for model, prefix in ((str(tmp_path / "m"), ""), (f"identity -> {tmp_path / 'm'}", "2.")):
        report = tmp_path / "r.json"
        words = command(data, f"{prefix}denoiser.prior=[bt]o*", "-o", report, model=model)
        assert main(words) == 0
        entries = json.loads(report.read_text())["entries"]
        for entry in entries:
            config = entry["report"]["model"]["inner_config"]
            inner = config["models"][1] if prefix else config
            assert inner["denoiser"]["kind"] == "prior-denoiser"
            assert inner["denoiser"]["prior"]["kind"] == entry["component"]
            assert inner["prior"]["kind"] == "box"
        assert {e["component"] for e in entries} == {"box", "total-variation"}


@pytest.mark.parametrize(
    ("swap", "more", "message"),
    [
        ("prior", [], "--swap prior: must be OPTION=NAME"),
        ("K=3", [], "plug-and-play has no option 'K' that holds a component; these do: blur, "
         "hyper_parameters, kernel_estimator, noise, prior"),
        ("light.prior=*", [], "plug-and-play has no option 'light' that holds a component"),
        ("prior.width=*", [], "denoiser has no option 'width' that holds a component"),
        ("prior=zz*", [], "no prior matches; installed:"),
        ("prior=irc", [], "did you mean ircnn"),
        ("prior=*", ["-o", "p.html"], "cannot be combined with --save-images or an .html"),
        ("prior=*", ["--save-images", "d"], "cannot be combined with --save-images or an .html"),
        ("prior=*", ["-o", "r.txt"], "a report ends in .json, .csv, .md"),
        ("prior=box", ["--without", "lpips"], "'lpips' cannot be left out"),
        ("prior=*", ["--set", "K=0"], "K: must be greater"),
        ("prior=*", ["--model", "identity -> tv-deblur"], "begin with the number"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is(data, capsys, swap, more, message):
    assert main(command(data, swap, *more)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_nothing_measured_is_no_success(data, capsys):
    assert main(command(data, "prior=ircnn")) == 1
    assert "requires training" in capsys.readouterr().out
