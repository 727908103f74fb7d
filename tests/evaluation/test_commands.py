"""`unfold evaluate` and `unfold table` as a user types them."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee

from unfold.cli import main
from unfold.core import Restoration
from unfold.evaluation.papers import TABLES
from unfold.evaluation.protocols import PROTOCOLS
from unfold.evaluation.table import find_table, read_reports, render
from unfold.models.identity import Identity


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
             for option in ("--report", path)]  # fmt: skip
    assert main(command(data, *files)) == 0
    out = capsys.readouterr().out
    report = json.loads(first.read_text())
    mean = report["summary"]["metrics"]["psnr"]["mean"]
    assert f"{mean:.4f}" in out
    x, y = (np.asarray(Image.open(data / f / "0.png")) / 255 for f in ("input", "target"))
    assert report["rows"][0]["values"]["psnr"] == pytest.approx(
        -10 * np.log10(((x - y) ** 2).mean()), abs=1e-4
    )
    assert report["model"] == {
        "name": "identity", "config": {"kind": "identity"}, "parameters": 0, "learned": False,
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
    assert main(command(data, "--report", report)) == 1
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

    monkeypatch.setattr(Identity, "forward", stop)
    report = tmp_path / "r.json"
    assert main(command(data, "--report", report)) == 130
    got = json.loads(report.read_text())
    assert not got["complete"]
    assert len(got["rows"]) == 2
    assert "interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "jude-small"], "no trained weights are installed"),
        (["--model", "identity -> jude-small"], "no trained weights are installed"),
        (["--protocol", "judee"], "did you mean jude? there are lednet, jude, dpdd"),
        (["--protocol", "dpdd"], "LPIPS (alex) needs alexnet"),
        (["--without", "lpips"], "'lpips' cannot be left out: gopro has psnr, ssim"),
        (["--weights", "lpips"], "--weights lpips: must be METRIC=FILE"),
        (["--report", "r.txt"], "a report ends in .json, .csv, .md"),
        (["--report", "nowhere/r.json"], "cannot be written there"),
        (["--dataset", "pared"], "did you mean paired"),
        (["--set-data", "inputs=low"], "paired: inputs: Extra inputs are not permitted"),
        (["--data", "nowhere"], "nowhere: there is no such folder"),
        (["--set", "K=1"], "identity: K: Extra inputs"),
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
    assert "whole number of photos from 1" in capsys.readouterr().err
    assert main(command(data, "--limit", "1")) == 0


def a_report(path, *, dataset="lol-blur", protocol="jude", version=1, name="JUDE", config=None,
             split="test", psnr=25.1234, complete=True, images=1800, options=None):  # fmt: skip
    means = {"psnr": {"mean": psnr}, "ssim": {"mean": 0.9}}
    made = {
        "format": "unfold-report", "format_version": 1, "complete": complete,
        "summary": {"metrics": means, "images": images, "failed": 0},
        "protocol": {"name": protocol, "version": version},
        "model": {"name": name, "config": config},
        "dataset": {"kind": dataset, "split": split, "count": 1800, "options": options or {}},
    }  # fmt: skip
    path.write_text(json.dumps(made))
    return path


def full(config):
    from unfold.registry.spec import resolve

    return resolve("models", config).model_dump(mode="json")


def rows(text, method):
    lines = [line for line in text.splitlines() if line.startswith(f"| {method} ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_table_alone_is_as_printed(capsys):
    assert main(["table", "jude-1"]) == 0
    out = capsys.readouterr().out
    assert rows(out, "JUDE") == [["JUDE", "26.884", "0.932", "0.127"]]
    assert "ours" not in out


def test_our_numbers_stand_beside_the_method_that_was_measured(tmp_path):
    a_report(tmp_path / "a.json", config=full({"kind": "jude"}))
    a_report(tmp_path / "b.json", name="jude-classic", config=full({"kind": "jude-classic"}),
             psnr=18.5)  # fmt: skip
    (tmp_path / "other.json").write_text("{}")
    out = render(find_table("jude-1"), read_reports([tmp_path]))
    assert rows(out, "JUDE") == [["JUDE", "26.884", "25.123", "0.932", "0.900", "0.127", "–"]]
    assert rows(out, "LEDNet") == [["LEDNet", "25.740", "–", "0.850", "–", "0.224", "–"]]
    assert rows(out, "jude-classic") == [["jude-classic", "–", "18.500", "–", "0.900", "–", "–"]]
    assert "a.json" in out


def test_an_ablation_takes_the_report_of_its_config_alone(tmp_path):
    a_report(tmp_path / "a.json", config=full({"kind": "jude", "K": 3}), psnr=20)
    out = render(find_table("jude-ablation"), read_reports([tmp_path / "a.json"]))
    assert rows(out, "K = 3") == [["K = 3", "26.019", "20.000"]]
    assert rows(out, "K = 5") == [["K = 5", "26.884", "–"]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"protocol": "lednet"}, "measured under lednet (version 1)"),
        ({"version": 2}, "measured under jude (version 2)"),
        ({"split": "train"}, "measured on the split train"),
        ({"options": {"target": "low_sharp"}}, "measured with data set options"),
    ],
)
def test_what_is_not_comparable_is_not_put_beside(tmp_path, change, why):
    a_report(tmp_path / "a.json", config=full({"kind": "jude"}), **change)
    out = render(find_table("jude-1"), read_reports([tmp_path]))
    assert rows(out, "JUDE") == [["JUDE", "26.884", "0.932", "0.127"]]
    assert f"not comparable, {why}" in out
    assert "25.12" not in out


def test_how_far_a_report_can_be_relied_upon_is_said(tmp_path):
    a_report(tmp_path / "a.json", images=10, complete=False)
    out = render(find_table("jude-1"), read_reports([tmp_path]))
    assert "(10 of 1800 images only, interrupted)" in out


def test_reports_of_another_data_set_are_passed_by(tmp_path):
    a_report(tmp_path / "a.json", dataset="gopro", protocol="gopro", config=full({"kind": "jude"}))
    assert "a.json" not in render(find_table("jude-1"), read_reports([tmp_path]))


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_every_table_is_whole(table):
    from unfold.registry import list_components

    for part in table.parts:
        assert part.protocol in PROTOCOLS
        assert part.dataset in list_components("datasets")
        known = {m.metric for m in PROTOCOLS[part.protocol].measures}
        assert set(part.metrics) <= known
        for row in part.rows:
            assert len(row.values) == len(part.metrics)
            assert any(row.values)
            assert all(float(value) for value in row.values if value)
            if row.config:
                assert full(dict(row.config))


def test_tables_are_listed_and_unknown_ones_refused(tmp_path, capsys):
    assert main(["table"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TABLES)
    assert main(["table", "jude-2"]) == 2
    assert "did you mean jude-1?" in capsys.readouterr().err
    assert main(["table", "jude-1", "--reports", str(tmp_path / "gone.json")]) == 2
    assert "gone.json: cannot be read as a report" in capsys.readouterr().err
    later = Path(tmp_path / "later.json")
    later.write_text('{"format": "unfold-report", "format_version": 2}')
    assert main(["table", "jude-1", "--reports", str(tmp_path)]) == 2
    assert "a report of format 2" in capsys.readouterr().err
