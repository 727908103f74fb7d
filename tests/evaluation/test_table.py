"""`unfold table` as a user types it: the papers' numbers, and the reports beside them."""

import json
import shutil

import pytest

import unfold
from unfold.cli import main
from unfold.evaluation import found
from unfold.evaluation.papers import TABLES
from unfold.evaluation.protocols import PROTOCOLS
from unfold.evaluation.table import find_table, render
from unfold.registry.spec import resolve

# Models of plugins, which need not be installed.
ELSEWHERE = {"lednet", "devudp", "devudp-dt"}


def a_report(path, *, dataset="lol-blur", protocol="jude", version=None, name="JUDE", config=None,
             split="test", psnr=25.1234, complete=True, images=1800, options=None,
             errors=0, inner=None):  # fmt: skip
    version = version or PROTOCOLS[protocol].version
    means = {"psnr": {"mean": psnr}, "ssim": {"mean": 0.9}}
    made = {
        "format": "unfold-report", "format_version": 1, "complete": complete,
        "summary": {"metrics": means, "images": images + errors, "failed": errors},
        "protocol": {"name": protocol, "version": version},
        "model": {"name": name, "config": config, "inner_config": inner},
        "dataset": {"kind": dataset, "split": split, "count": 1800, "options": options or {}},
        "rows": [{"name": ""}] * errors,
    }  # fmt: skip
    path.write_text(json.dumps(made))
    return path


def read_reports(paths):
    """Without any that is refused."""
    errors = []
    reports = found.read_reports(paths, errors)
    assert not errors
    return reports


def full(config):
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
    assert rows(out, "K = 3") == [["K = 3", "26.019", "20.000", "–", "0.900", "–", "–"]]
    assert rows(out, "K = 5") == [["K = 5", "26.884", *"–––––"]]


def test_judes_ablation_of_the_prior_is_without_the_denoiser(tmp_path):
    ircnn = {"kind": "jude", "prior": "ircnn"}
    a_report(tmp_path / "a.json", config=full({**ircnn, "denoiser": False}), psnr=20)
    a_report(tmp_path / "b.json", config=full(ircnn), name="with denoiser", psnr=21)
    out = render(find_table("jude-ablation"), read_reports([tmp_path]))
    assert rows(out, "IRCNN prior, no denoiser")[0][1:3] == ["25.644", "20.000"]
    assert rows(out, "with denoiser")[0][1:3] == ["–", "21.000"]
    assert rows(out, "ResUNet prior, no denoiser")[0][1:3] == ["26.486", "–"]


@pytest.mark.parametrize("table", ["jude-1", "jude-ablation"])
def test_low_blur_may_be_the_input_of_judes_tables(tmp_path, table):
    config = full({"kind": "jude"})
    a_report(tmp_path / "a.json", config=config)
    a_report(tmp_path / "b.json", config=config, options={"input": "low_blur"}, psnr=24)
    a_report(tmp_path / "c.json", options={"input": "low_blur"}, name="other", psnr=23)
    a_report(tmp_path / "d.json", options={"input": "low_blur", "target": "low_sharp"}, psnr=22)
    out = render(find_table(table), read_reports([tmp_path]))
    cells = {line.split("|")[1].strip(): line.split("|")[3].strip()
             for line in out.splitlines() if line.startswith("| ")}  # fmt: skip
    method = "JUDE" if table == "jude-1" else "ResUNet prior and denoiser"
    assert cells[method] == "25.123"
    assert cells[f"{method} (input=low_blur)"] == "24.000"
    assert cells["other (input=low_blur)"] == "23.000"
    assert "22.000" not in out
    assert "low_sharp" in out  # it is given why
    lednet = render(find_table("lednet-1"), read_reports([tmp_path / "b.json"]))
    assert "not comparable" in lednet


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"protocol": "lednet"}, "measured under lednet (version 1)"),
        ({"version": 1}, "measured under jude (version 1)"),
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
    assert "(10 of 1800 photos, interrupted)" in out


def test_reports_of_another_data_set_are_passed_by(tmp_path):
    a_report(tmp_path / "a.json", dataset="gopro", protocol="gopro", config=full({"kind": "jude"}))
    assert "a.json" not in render(find_table("jude-1"), read_reports([tmp_path]))


# Each part, a row a line: the numbers in the order of the part's metrics, "-" where the printed
# number is not known. Typed from the papers' facts, apart from `unfold.evaluation.papers`.
PRINTED = {
    "jude-1": """
        lol-blur psnr ssim lpips
        19.889 .858 .139 | 25.505 .862 .240 | 25.740 .850 .224 | 26.728 .914 .132
        26.884 .932 .127""",
    "jude-ablation": """
        lol-blur psnr ssim lpips
        25.644 - - | 26.486 - - | 26.884 - - | 26.019 - - | 26.884 - - | 26.393 - - | 26.731 - -""",
    "era-1": """
        dpdd psnr ssim lpips
        26.687 .815 .219
        realdof psnr ssim lpips
        25.747 .772 .319
        rtf psnr ssim lpips
        25.502 .823 .215""",
    "lednet-1": """
        lol-blur psnr ssim lpips
        25.74 .850 .224""",
    "lednet-ablation": """
        lol-blur psnr
        21.85 | 25.20 | 25.31 | 24.05 | 25.74""",
    "devudp-1": """
        gopro psnr ssim mae lpips
        22.19 .708 14.30 .253 | 25.15 .786 9.56 .272
        realblur-j psnr ssim mae lpips
        19.75 .617 - - | 25.87 .790 - -
        lol psnr ssim mae lpips
        14.97 .500 - - | 16.40 .500 - - | 16.88 .667 36.27 .326
        lol-blur psnr ssim mae lpips
        18.03 .653 28.14 .323""",
}


@pytest.mark.parametrize("name", TABLES)
def test_every_number_is_as_printed(name):
    found = [
        line
        for part in TABLES[name].parts
        for line in (
            " ".join((part.dataset, *part.metrics)),
            *(" ".join(v.removeprefix("0") or "-" for v in row.values) for row in part.rows),
        )
    ]
    lines = PRINTED[name].strip().splitlines()
    assert found == [row.strip() for line in lines for row in line.split("|")]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_a_table_with_unknown_numbers_says_that_it_is_partial(table):
    unknown = any("" in row.values for part in table.parts for row in part.rows)
    assert any("This table is partial" in note for note in table.notes) == unknown
    assert "not every row and column of the paper is recorded" in render(table, [])


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_every_table_is_whole(table):
    for part in table.parts:
        assert part.protocol in PROTOCOLS
        assert part.dataset in unfold.list("datasets")
        known = {m.metric for m in PROTOCOLS[part.protocol].measures}
        assert set(part.metrics) <= known
        for row in part.rows:
            assert len(row.values) == len(part.metrics)
            assert any(row.values)
            assert all(float(value) for value in row.values if value)
            kind = (row.config or {}).get("kind")
            if kind and (kind not in ELSEWHERE or kind in unfold.list("models")):
                assert full(dict(row.config))


def test_tables_are_listed_and_unknown_ones_refused(tmp_path, capsys):
    assert main(["list", "tables"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == sorted(TABLES)
    assert main(["table", "jude-2"]) == 2
    assert "did you mean jude-1?" in capsys.readouterr().err


def test_photos_that_could_not_be_read_are_not_passed_over(tmp_path):
    a_report(tmp_path / "a.json", errors=3)
    out = render(find_table("jude-1"), read_reports([tmp_path]))
    assert "a.json (1800 of 1803 photos)" in out


def without(path, *keys):
    report = json.loads(path.read_text())
    inner = report
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    path.write_text(json.dumps(report))


@pytest.mark.parametrize(
    "keys",
    [("summary",), ("complete",), ("rows",), ("model", "config"), ("dataset", "count"),
     ("protocol", "version"), ("summary", "failed"), ("summary", "metrics", "psnr", "mean")],
)  # fmt: skip
def test_a_report_that_cannot_be_used_costs_only_itself(tmp_path, keys, capsys):
    a_report(tmp_path / "a.json", config=full({"kind": "jude"}))
    without(a_report(tmp_path / "b.json", psnr=11), *keys)
    (tmp_path / "later.json").write_text('{"format": "unfold-report", "format_version": 2}')
    (tmp_path / "other.json").write_text("[1]")
    gone = tmp_path / "gone.json"
    assert main(["table", "jude-1", "--reports", str(gone), str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert rows(captured.out, "JUDE")[0][:3] == ["JUDE", "26.884", "25.123"]
    lines = captured.err.splitlines()
    assert len(lines) == 3
    assert "gone.json: cannot be read as a report" in lines[0]
    assert f"b.json: is a damaged report ({'.'.join(keys)}: " in lines[1]
    assert "later.json: is a report of format 2" in lines[2]


def test_a_report_given_twice_counts_once(tmp_path):
    path = a_report(tmp_path / "a.json", config=full({"kind": "jude"}))
    shutil.copy(path, tmp_path / "copy.json")
    a_report(tmp_path / "b.json", config=full({"kind": "jude"}), psnr=21)
    out = render(find_table("jude-1"), read_reports([path, tmp_path, path]))
    assert [row[2] for row in rows(out, "JUDE")] == ["25.123", "21.000"]


def test_a_learned_method_is_told_by_what_was_trained(tmp_path):
    trained = {"kind": "trained", "folder": "runs/1"}
    a_report(tmp_path / "a.json", config=trained, inner=full({"kind": "jude"}), name="runs/1")
    a_report(tmp_path / "b.json", config=trained, inner=full({"kind": "jude", "K": 2}),
             name="runs/2", psnr=21)  # fmt: skip
    out = render(find_table("jude-1"), read_reports([tmp_path]))
    assert rows(out, "JUDE")[0][:3] == ["JUDE", "26.884", "25.123"]
    assert rows(out, "runs/2")[0][:3] == ["runs/2", "–", "21.000"]


@pytest.mark.parametrize(
    ("table", "method", "dataset", "config"),
    [
        ("lednet-1", "LEDNet", "lol-blur", {"kind": "lednet"}),
        ("lednet-1", "LEDNet", "lol-blur", {"kind": "lednet", "weights": "lednet.safetensors"}),
        ("lednet-ablation", "without PPM", "lol-blur", {"kind": "lednet", "ppm": False}),
        ("devudp-1", "Zero-DCE", "lol", {"kind": "zero-dce"}),
        ("devudp-1", "DEvUDP", "lol", {"kind": "devudp"}),
        ("devudp-1", "DEvUDP-DT", "gopro", {"kind": "devudp-dt"}),
    ],
)
def test_learned_methods_have_their_rows(tmp_path, table, method, dataset, config):
    if config["kind"] not in unfold.list("models"):
        pytest.skip(f"no plugin here has {config['kind']}")
    (protocol,) = {p.protocol for p in TABLES[table].parts}
    a_report(tmp_path / "a.json", config={"kind": "trained", "folder": "x"}, inner=full(config),
             dataset=dataset, protocol=protocol)  # fmt: skip
    out = render(find_table(table), read_reports([tmp_path]))
    (row,) = [row for row in rows(out, method) if "25.12" in "".join(row)]
    assert row[0] == method
