"""Evaluation in Python: what is measured, what becomes of bad files, what is given of it."""

import csv
import hashlib
import io
import json
import math
import time

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import unfold
from unfold.datasets import Pair
from unfold.datasets.plain import Paired
from unfold.evaluation import (
    EvaluationError,
    Measure,
    Protocol,
    ReportError,
    evaluate,
    read_report,
)
from unfold.evaluation.report import check_target
from unfold.metrics import MetricError
from unfold.models.identity import IdentityModel
from unfold.registry import ComponentError
from unfold.restorer import Restoration, Restorer

PLAIN = Protocol("plain", 3, "these tests", (Measure("psnr"), Measure("ssim"), Measure("mae")))


def save(path, array, **options):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


@pytest.fixture
def pairs(tmp_path):
    """Three photos, noisy and clean."""
    made = []
    for name, make in (("a", astronaut), ("b", chelsea), ("c", coffee)):
        clean = make()[100:148, 100:164]
        noise = np.random.default_rng(len(made)).normal(0, 12, clean.shape)
        noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
        made.append(
            Pair(
                name,
                save(tmp_path / "in" / f"{name}.png", noisy),
                save(tmp_path / "out" / f"{name}.png", clean),
            )
        )
    return made


class Acts(Restorer):
    """Does something before it gives the photo back."""

    def __init__(self, act):
        super().__init__()
        self.act, self.calls = act, 0

    def forward(self, image, *, kernel=None, history=None):
        self.calls += 1
        return Restoration(self.act(self.calls, image))

    def explain(self):
        return "a test's"


def array(path):
    return np.asarray(Image.open(path)) / 255


def test_values_are_those_of_the_files(pairs):
    report = evaluate(IdentityModel(), pairs, PLAIN)
    for pair, row in zip(pairs, report.rows, strict=True):
        x, y = array(pair.input), array(pair.target)
        assert row.name == pair.name
        assert row.size == (48, 64)
        assert row.values["psnr"] == pytest.approx(
            peak_signal_noise_ratio(y, x, data_range=1), abs=1e-4
        )
        ssim = structural_similarity(
            y, x, channel_axis=2, data_range=1, gaussian_weights=True, use_sample_covariance=False
        )
        assert row.values["ssim"] == pytest.approx(ssim, abs=1e-5)
        assert row.values["mae"] == pytest.approx(255 * np.abs(x - y).mean(), abs=1e-3)
    mean = report.summary()["metrics"]["psnr"]
    assert mean["mean"] == pytest.approx(np.mean([r.values["psnr"] for r in report.rows]))
    assert mean["low"] < mean["mean"] < mean["high"]
    assert report.complete
    assert report.failed == 0


def test_what_the_model_makes_is_measured(pairs):
    brighter = evaluate(Acts(lambda n, x: x + 0.2), pairs, PLAIN)
    for pair, row in zip(pairs, brighter.rows, strict=True):
        restored = np.rint(255 * np.clip(array(pair.input) + 0.2, 0, 1)) / 255
        want = 255 * np.abs(restored - array(pair.target)).mean()
        assert row.values["mae"] == pytest.approx(want, abs=1e-3)


def test_pictures_are_saved_as_they_were_measured(pairs, tmp_path):
    evaluate(Acts(lambda n, x: 0.73 * x), pairs, PLAIN, save_images=tmp_path / "saved")
    for pair in pairs:
        want = np.rint(0.73 * 255 * array(pair.input))
        got = 255 * array(tmp_path / "saved" / f"{pair.name}.png")
        assert np.abs(got - want).max() < 1e-6


def test_pictures_never_replace_what_is_measured(pairs, tmp_path):
    calls = Acts(lambda n, x: x)
    view = save(tmp_path / "views" / "a.png", np.zeros((48, 64, 3), np.uint8))
    pairs = [Pair("a", pairs[0].input, pairs[0].target, {"left": view}), *pairs[1:]]
    for folder in ("in", "out", "views"):
        with pytest.raises(EvaluationError, match=f"{folder}/a.png is a file in the data set"):
            evaluate(calls, pairs, PLAIN, save_images=tmp_path / folder)
    assert calls.calls == 0
    for _ in range(2):  # whereas what was saved before may be
        assert evaluate(calls, pairs, PLAIN, save_images=tmp_path / "saved").failed == 0


def test_a_reader_goes_by_its_registered_name(pairs, tmp_path):
    reader = Paired(tmp_path, input="in", target="out")
    assert evaluate(IdentityModel(), reader, PLAIN).dataset["kind"] == "paired"
    assert evaluate(IdentityModel(), pairs, PLAIN).dataset["kind"] == "list"


def test_the_weights_of_metrics_are_told(pairs, tmp_path):
    told = []
    for scale in (1, 2, 2):
        file = tmp_path / f"{len(told)}.npz"
        np.savez(file, mu_pris_param=np.ones(36) * scale, cov_pris_param=np.eye(36))
        protocol = Protocol("one", 1, "", (Measure("niqe"),))
        facts = evaluate(IdentityModel(), pairs, protocol, weights={"niqe": file}).metrics["niqe"]
        assert facts["files"] == {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}
        told.append(facts["tensors_sha256"])
    assert told[0] != told[1] == told[2]
    assert evaluate(IdentityModel(), pairs, PLAIN).metrics["psnr"]["tensors_sha256"] is None


def test_bad_files_become_rows_and_the_others_go_on(pairs, tmp_path):
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(pairs[0].input.read_bytes()[:200])
    text = tmp_path / "text.png"
    text.write_text("hello")
    clean = Image.open(pairs[1].target)
    cmyk = tmp_path / "cmyk.jpg"
    clean.convert("CMYK").save(cmyk, quality=95)
    gray = save(tmp_path / "gray.png", np.array(clean.convert("L"), np.uint16) * 257)
    tiny = save(tmp_path / "tiny.png", np.zeros((1, 1, 3), np.uint8))
    dataset = [
        pairs[0],
        Pair("truncated", truncated, pairs[0].target),
        Pair("text", pairs[0].input, text),
        Pair("gone", tmp_path / "gone.png", pairs[0].target),
        Pair("sizes", pairs[0].input, tiny),
        Pair("cmyk", cmyk, pairs[1].target),
        Pair("gray", gray, pairs[1].target),
        Pair("tiny", tiny, tiny),
    ]
    report = evaluate(IdentityModel(), dataset, PLAIN)
    errors = {row.name: row.error for row in report.rows}
    assert {name for name, error in errors.items() if error} == {
        "truncated", "text", "gone", "sizes", "tiny",
    }  # fmt: skip
    assert "not a PNG" in errors["text"]
    assert "the input is 64×48 pixels and its target 1×1" in errors["sizes"]
    assert "smaller than its 11×11 window" in errors["tiny"]
    rows = {row.name: row for row in report.rows}
    assert rows["cmyk"].values["psnr"] > 30
    assert rows["gray"].values["ssim"] > 0.8
    assert rows["tiny"].values == {"psnr": math.inf, "mae": 0}  # what could be measured, was
    summary = report.summary()
    assert (summary["images"], summary["failed"]) == (8, 5)
    counts = {name: mean["count"] for name, mean in summary["metrics"].items()}
    assert counts == {"psnr": 3, "ssim": 3, "mae": 4}
    assert summary["metrics"]["psnr"]["infinite"] == 1
    assert all("\n" not in error for error in errors.values())


def test_a_model_that_fails_on_a_photo_fails_on_that_one_only(pairs):
    def act(number, image):
        if number == 2:
            raise RuntimeError("out of\nmemory")
        return image * (math.nan if number == 3 else 1)

    rows = evaluate(Acts(act), pairs, PLAIN).rows
    assert [row.error for row in rows][:2] == ["", "out of memory"]
    assert "psnr: its value is not a number" in rows[2].error


def test_without_targets_only_what_needs_none_is_measured(pairs, tmp_path):
    alone = [Pair(p.name, p.input) for p in pairs]
    with pytest.raises(EvaluationError, match=r"photos have no targets.*--also niqe"):
        evaluate(IdentityModel(), alone, PLAIN)
    parameters = tmp_path / "pristine.npz"
    np.savez(parameters, mu_pris_param=np.ones(36), cov_pris_param=np.eye(36))
    for pair in alone:
        save(pair.input, astronaut()[:200, :300])
    report = evaluate(IdentityModel(), alone, PLAIN, also=["niqe"], weights={"niqe": parameters})
    assert list(report.metrics) == ["niqe"]
    assert [set(row.values) for row in report.rows] == [{"niqe"}] * 3
    save(pairs[1].target, astronaut()[:200, 100:400])
    mixed = evaluate(
        IdentityModel(), [alone[0], pairs[1]], PLAIN, also=["niqe"], weights={"niqe": parameters}
    )
    assert [set(row.values) for row in mixed.rows] == [{"niqe"}, {"psnr", "ssim", "mae", "niqe"}]
    assert mixed.failed == 0


def test_interrupted_it_keeps_what_there_is(pairs, tmp_path):
    def act(number, image):
        if number == 3:
            raise KeyboardInterrupt
        return image

    report = evaluate(Acts(act), pairs, PLAIN)
    assert not report.complete
    assert [row.name for row in report.rows] == ["a", "b"]
    report.write(tmp_path / "report.json")
    assert read_report(tmp_path / "report.json")["complete"] is False
    assert "Incomplete" in report.text()


def test_the_first_photo_warms_up(pairs):
    report = evaluate(Acts(lambda n, x: (time.sleep(0.3 if n == 1 else 0.01), x)[1]), pairs, PLAIN)
    assert [row.warm_up for row in report.rows] == [True, False, False]
    summary = report.summary()
    times = [row.seconds for row in report.rows]
    assert times[0] > 0.3
    assert summary["timed_images"] == 2
    assert summary["seconds_per_image"] == pytest.approx(sum(times[1:]) / 2)
    assert summary["megapixels_per_second"] == pytest.approx(2 * 48 * 64 / 1e6 / sum(times[1:]))
    alone = evaluate(IdentityModel(), pairs[:1], PLAIN).summary()
    assert alone["seconds_per_image"] is None


def test_metrics_are_added_and_left_out_by_name(pairs):
    protocol = Protocol("one", 1, "", (Measure("psnr"),))
    report = evaluate(IdentityModel(), pairs, protocol, also=["mae"], without=["psnr"], limit=2)
    assert list(report.metrics) == ["mae"]
    assert (report.protocol["also"], report.protocol["without"]) == (["mae"], ["psnr"])
    assert len(report.rows) == 2
    assert (report.dataset["count"], report.dataset["limit"]) == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"without": ["niqe"]}, "'niqe' cannot be left out: plain has psnr, ssim, mae"),
        ({"also": ["psnr"]}, "'psnr' is added, but plain has"),
        ({"weights": {"lpips": "x"}}, "weights are given for 'lpips', which is not measured"),
        ({"weights": {"ssim": "x"}}, "ssim takes no weights"),
        ({"without": ["psnr", "ssim", "mae"]}, "no metric is left"),
    ],
)
def test_what_cannot_be_begun(pairs, options, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(IdentityModel(), pairs, PLAIN, **options)


def test_an_unknown_metric_or_one_without_weights_stops_it_at_once(pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ComponentError, match="no metric named 'ssym'; did you mean ssim"):
        evaluate(IdentityModel(), pairs, PLAIN, also=["ssym"])
    with pytest.raises(MetricError, match=r"LPIPS \(vgg\) needs vgg16"):
        evaluate(IdentityModel(), pairs, "lednet")


def test_reports_in_three_formats(pairs, tmp_path):
    same = [*pairs, Pair("same|er", pairs[0].target, pairs[0].target)]
    report = evaluate(IdentityModel(), same, PLAIN)
    for suffix in ("json", "csv", "md"):
        report.write(tmp_path / f"report.{suffix}")
    got = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert got == read_report(tmp_path / "report.json")
    assert got["rows"][3]["values"]["psnr"] == "inf"
    assert got["summary"]["metrics"]["psnr"]["infinite"] == 1
    assert (got["protocol"]["name"], got["protocol"]["version"]) == ("plain", 3)
    assert got["environment"]["torch"] == torch.__version__
    assert got["environment"]["providers"] == {"unfold-imaging": got["environment"]["unfold"]}
    assert got["model"]["parameters"] == 0
    header, _, lines = (tmp_path / "report.csv").read_text().partition("\n")
    assert json.loads(header.removeprefix("# "))["summary"] == got["summary"]
    rows = list(csv.DictReader(io.StringIO(lines)))
    assert [float(r["mae"]) for r in rows] == [r.values["mae"] for r in report.rows]
    assert float(rows[3]["psnr"]) == math.inf
    markdown = (tmp_path / "report.md").read_text()
    assert f"| {report.rows[0].values['psnr']:.4f} " in markdown
    assert "same\\|er" in markdown


@pytest.mark.parametrize(
    ("name", "pretrained", "want", "words"),
    [
        ("identity", False, (False, False), "classical: it has no learned parameters"),
        ("tv-deblur", False, (False, False), "classical: it has no learned parameters"),
        ("zero-dce", False, (True, False), "parameters, not trained."),
        ("zero-dce", True, (True, True), "parameters, trained."),
        ("zero-dce -> tv-deblur", True, (True, True), "parameters, trained."),
    ],
)
def test_a_report_says_whether_the_model_is_learned_and_trained(
    pairs, name, pretrained, want, words
):
    model = unfold.create_model(name, pretrained=pretrained)
    report = evaluate(model, pairs[:1], PLAIN)
    assert (report.model["learned"], report.model["trained"]) == want
    assert words in report.text()


def test_a_report_appears_whole_or_not_at_all(pairs, tmp_path, monkeypatch):
    report = evaluate(IdentityModel(), pairs, PLAIN)
    target = tmp_path / "r" / "report.json"
    target.parent.mkdir()
    target.write_text("before")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ReportError, match="No space left"):
        report.write(target)
    assert [p.name for p in target.parent.iterdir()] == ["report.json"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("name", ["report.txt", "report", "none/report.json", "."])
def test_where_no_report_can_go(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReportError):
        check_target(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a report"),
        ("[]", "is no report of"),
        ('{"format": "unfold-report", "format_version": 9}', "of format 9, and this"),
    ],
)
def test_what_is_no_report(text, message, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=message):
        read_report(path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu_values_agree_and_the_clock_waits(pairs):
    cpu = evaluate(IdentityModel(), pairs, PLAIN)
    gpu = evaluate(IdentityModel(), pairs, PLAIN, device="cuda")
    for one, other in zip(cpu.rows, gpu.rows, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-6)

    def work(number, image):
        square = torch.rand(8192, 8192, device=image.device)
        for _ in range(20):
            square = square @ square
        return image

    # Launching takes microseconds; a clock that did not wait would show those.
    rows = evaluate(Acts(work), pairs, PLAIN, device="cuda").rows
    assert min(row.seconds for row in rows[1:]) > 0.1
