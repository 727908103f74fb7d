"""`unfold evaluate` as a user types it."""

import hashlib
import importlib.metadata
import json
import os
import shlex

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee

import unfold
from unfold.cli import main
from unfold.cli._common import say
from unfold.models.identity import IdentityModel
from unfold.models.weights import save_model
from unfold.registry.spec import resolve
from unfold.restorer import Restoration


@pytest.fixture
def data(tmp_path):
    """A paired folder of three photos; and where its reports go."""
    for i, make in enumerate((astronaut, coffee, coffee)):
        clean = make()[100 : 132 + i, 50:90]
        for folder, array in (("input", clean // 2), ("target", clean)):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "data" / folder / f"{i}.png")
    return tmp_path / "data"


def command(data, *more, protocol="gopro"):
    return ["evaluate", "--model", "identity", "--data", str(data), "--dataset", "paired",
            "--protocol", protocol, "--device", "cpu", *map(str, more)]  # fmt: skip


def test_it_measures_and_what_it_reports_repeats_it(data, tmp_path, capsys):
    first, again = tmp_path / "a b.json", tmp_path / "again.json"
    files = [option for path in (first, tmp_path / "r.md", tmp_path / "r.csv")
             for option in ("-o", path)]  # fmt: skip
    assert main(command(data, *files)) == 0
    out, err = capsys.readouterr()
    assert err == ""  # no bar, as this is no terminal
    report = json.loads(first.read_text())
    mean = report["summary"]["metrics"]["psnr"]["mean"]
    assert f"{mean:.4f}" in out
    x, y = (np.asarray(Image.open(data / f / "0.png")) / 255 for f in ("input", "target"))
    assert report["rows"][0]["values"]["psnr"] == pytest.approx(
        -10 * np.log10(((x - y) ** 2).mean()), abs=1e-4
    )
    assert report["model"] == {
        "name": "identity", "config": {"kind": "identity"}, "inner_config": {"kind": "identity"},
        "files": {}, "parameters": 0, "learned": False, "trained": False,
    }  # fmt: skip
    assert (report["dataset"]["kind"], report["dataset"]["count"]) == ("paired", 3)
    program, *words = shlex.split(report["environment"]["command"])
    assert program == "unfold"
    words[words.index(str(first))] = str(again)
    assert main(words) == 0
    repeated = json.loads(again.read_text())
    assert [r["values"] for r in repeated["rows"]] == [r["values"] for r in report["rows"]]
    assert all((tmp_path / f"r.{suffix}").stat().st_size for suffix in ("md", "csv"))


def test_bad_files_cost_the_exit_status_and_nothing_else(data, tmp_path, capsys):
    whole = (data / "input" / "1.png").read_bytes()
    (data / "input" / "1.png").write_bytes(whole[: len(whole) // 2])  # its header is sound
    (data / "input" / "extra.png").write_text("no picture")
    report = tmp_path / "r.json"
    assert main(command(data, "-o", report)) == 1
    captured = capsys.readouterr()
    got = json.loads(report.read_text())
    assert got["complete"]
    assert sum(not row["error"] for row in got["rows"]) == 2
    assert got["summary"]["metrics"]["psnr"]["count"] == 2
    assert "failed; the means are over the rest" in captured.out
    assert "1.png" in captured.err
    assert "extra" in captured.err


def test_interrupted_it_writes_what_there_is(data, tmp_path, monkeypatch, capsys):
    calls = []

    def stop(self, image, **options):
        calls.append(image)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return Restoration(image)

    monkeypatch.setattr(IdentityModel, "forward", stop)
    report = tmp_path / "r.json"
    assert main(command(data, "-o", report)) == 130
    got = json.loads(report.read_text())
    assert not got["complete"]
    assert len(got["rows"]) == 2
    assert "interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "jude"], "no trained weights are installed"),
        (["--model", "identity -> jude"], "no trained weights are installed"),
        (["--protocol", "judee"], "did you mean jude? there are lednet, jude, dpdd"),
        (["--protocol", "dpdd"], "LPIPS (alex) needs alexnet"),
        (["--without", "lpips"], "'lpips' cannot be left out: gopro has psnr, ssim"),
        (["--weights", "lpips"], "--weights lpips: must be METRIC=FILE"),
        (["-o", "r.txt"], "a report ends in .json, .csv, .md"),
        (["-o", "nowhere/r.json"], "cannot be written there"),
        (["--dataset", "pared"], "did you mean paired"),
        (["--set-data", "inputs=low"], "paired: inputs: there is no such option; did you mean"),
        (["--data", "nowhere"], "nowhere: there is no such folder"),
        (["--set", "K=1"], "identity: K: there is no such option"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(data, more, message, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(data))
    monkeypatch.chdir(data)
    assert main(command(data, "--save-images", data / "saved", *more)) == 2
    assert message in capsys.readouterr().err
    assert not (data / "saved").exists()


def test_a_limit_is_a_number_of_photos(data, capsys):
    for bad in ("0", "-1", "x"):
        with pytest.raises(SystemExit):
            main(command(data, "--limit", bad))
    assert "an integer of at least 1" in capsys.readouterr().err
    assert main(command(data, "--limit", "1")) == 0


def test_a_metric_that_fails_names_the_photo(data, capsys):
    for folder in ("input", "target"):
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(data / folder / "0.png")
    assert main(command(data)) == 1
    assert "unfold: 0: ssim: SSIM: the picture" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["input", "target", "link", "other"])
def test_originals_are_never_replaced(data, place, capsys):
    (data / "link").symlink_to("target", target_is_directory=True)
    (data / "other").mkdir()
    (data / "other" / "0.png").write_bytes((data / "input" / "0.png").read_bytes())
    before = {p: p.read_bytes() for p in data.rglob("*.png")}
    assert main(command(data, "--save-images", data / place)) == 2
    assert f"{place}/0.png is a file in the data set's folder" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in before} == before


def test_pictures_are_not_saved_in_a_file(data, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file, file / "below"):
        assert main(command(data, "--save-images", place)) == 2
        assert f"{file} is no folder" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_names_that_are_no_characters_lose_nothing(data, tmp_path, capsys):
    for folder in ("input", "target"):
        for old, new in (("0", b"\xff"), ("1", b"a\nb")):
            file = data / folder / f"{old}.png"
            file.rename(os.fsdecode(os.fsencode(file.parent) + b"/" + new + b".png"))
    root = data.rename(os.fsdecode(os.fsencode(data) + b"\xfe"))
    paths = [tmp_path / f"r.{suffix}" for suffix in ("json", "csv", "md")]
    more = [word for path in paths for word in ("-o", path)]
    assert main(command(root, *more)) == 0
    assert "psnr" in capsys.readouterr().out
    report = json.loads(paths[0].read_text("ascii"))
    assert {row["name"] for row in report["rows"]} == {"2", "\udcff", "a\nb"}
    assert "\\udcff," in paths[1].read_text("utf-8")
    table = [line for line in paths[2].read_text("utf-8").splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in table} == {5, 6}  # of two tables
    assert any(line.startswith("| a\\nb ") for line in table)


def test_what_a_terminal_cannot_show_is_escaped(capsys):
    say("é \udcff\n")
    assert capsys.readouterr().out == "é \\udcff\n"


def test_a_report_that_fails_does_not_stop_the_others(data, tmp_path, monkeypatch, capsys):
    def fail(self):
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "no such character")

    monkeypatch.setattr("unfold.evaluation.Report.csv", fail)
    paths = [tmp_path / f"r.{suffix}" for suffix in ("csv", "json", "md")]
    more = [word for path in paths for word in ("-o", path)]
    assert main(command(data, *more)) == 1
    assert f"unfold: {paths[0]}: cannot be written" in capsys.readouterr().err
    assert [path.exists() for path in paths] == [False, True, True]


def test_what_a_trained_model_is_can_be_told_from_the_report(data, tmp_path, capsys):
    spec = resolve("models", {"kind": "zero-dce", "width": 4})
    folder = tmp_path / "trained"
    save_model(folder, spec.build().state_dict(), spec, needs={})
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    report = tmp_path / "r.json"
    words = command(data, "-o", report)
    inner = {"kind": "zero-dce", "iterations": 8, "width": 4}
    for name, config in (
        (str(folder), inner),
        (f"identity -> {folder}", {"kind": "cascade", "models": [{"kind": "identity"}, inner]}),
    ):
        words[2] = name
        assert main(words) == 0
        model = json.loads(report.read_text())["model"]
        assert model["inner_config"] == config
        assert model["files"] == {str(folder / "model.safetensors"): digest}
        assert config != model["config"]


def test_who_provides_the_model_in_a_folder_is_told(data, tmp_path):
    if "lednet-small" not in unfold.list("models"):
        pytest.skip("the plugin unfold-lednet is not installed")
    spec = resolve("models", "lednet-small")
    save_model(tmp_path / "m", spec.build().state_dict(), spec, needs={})
    report = tmp_path / "r.json"
    words = command(data, "-o", report)
    words[2] = str(tmp_path / "m")
    assert main(words) == 0
    environment = json.loads(report.read_text())["environment"]
    assert environment["providers"] == {
        name: importlib.metadata.version(name) for name in ("unfold-imaging", "unfold-lednet")
    }


def test_splits_that_are_there_are_named(tmp_path, capsys):
    for kind in ("low", "high"):
        folder = tmp_path / "our485" / kind
        folder.mkdir(parents=True)
        Image.fromarray(coffee()[:20, :20]).save(folder / "1.png")
    words = ["evaluate", "--model", "identity", "--data", str(tmp_path), "--dataset", "lol",
             "--protocol", "gopro", "--device", "cpu"]  # fmt: skip
    assert main(words) == 2
    assert "splits with photos: --split our485\n" in capsys.readouterr().err
    assert main([*words, "--split", "eval15"]) == 2
    assert "--split" not in capsys.readouterr().err
    assert main([*words, "--split", "our485"]) == 0
