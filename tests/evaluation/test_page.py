"""Pages of reports: which photos are shown, and what of them."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import coffee

from unfold.cli import main
from unfold.datasets.plain import Paired
from unfold.evaluation import ReportError, evaluate
from unfold.evaluation.page import _changed_most, check_page, notable, write_page
from unfold.models.identity import IdentityModel

FACTORS = {"a": 0.9, "b": 0.5, "c": 0.7, "<d>": 0.2, "e": 0.8}  # the darker, the worse


@pytest.fixture
def data(tmp_path):
    clean = coffee()[100:150, 200:260]
    for name, factor in FACTORS.items():
        for folder, array in (("input", clean * factor), ("target", clean)):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            file = tmp_path / "data" / folder / f"{name}.png"
            Image.fromarray(array.astype(np.uint8)).save(file)
    return tmp_path / "data"


def pictures(page):
    found = re.findall(
        r'<img (?:class=zoom )?alt="([^"]+)" src="data:image/jpeg;base64,([^"]+)"', page
    )
    decoded = [(alt, Image.open(io.BytesIO(base64.b64decode(data)))) for alt, data in found]
    return [(alt, np.asarray(picture, dtype=float)) for alt, picture in decoded]


def test_worst_median_and_best_are_shown(data, tmp_path):
    pairs = Paired(data)
    report = evaluate(IdentityModel(), pairs, "gopro")
    assert {label: row.name for label, row in notable(report).items()} == {
        "worst": "<d>", "median": "c", "best": "a"
    }  # fmt: skip
    write_page(tmp_path / "p.html", report, IdentityModel(), pairs, protocol="gopro")
    page = (tmp_path / "p.html").read_text()
    assert "worst: &lt;d&gt;" in page
    assert "<d>" not in page
    shown = pictures(page)
    names = ["input", "part of the input", "output", "part of the output", "target",
             "part of the target"]  # fmt: skip
    assert [alt for alt, _ in shown] == 3 * names
    for index, name in enumerate(("<d>", "c", "a")):
        for offset, folder in ((0, "input"), (2, "input"), (4, "target")):
            want = np.asarray(Image.open(data / folder / f"{name}.png"), dtype=float)
            assert np.abs(shown[6 * index + offset][1] - want).mean() < 4  # JPEG
    for name in FACTORS:
        assert f"<td>{name.replace('<', '&lt;').replace('>', '&gt;')}</td>" in page


def test_the_part_is_where_the_contrast_changed():
    torch.manual_seed(0)
    image = torch.rand(3, 200, 260) * 0.2
    restored = (2 * image + 0.3).clone()
    restored[:, 120:150, 180:220] += 0.5 * torch.rand(3, 30, 40)
    rows, columns = _changed_most(image, restored)
    assert rows.start <= 125
    assert rows.stop >= 145
    assert columns.start <= 185
    assert columns.stop >= 215


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (96, 97), (95, 300)])
def test_small_photos_are_shown_too(size):
    image = torch.rand(3, *size)
    rows, columns = _changed_most(image, image.flip(1))
    part = image[:, rows, columns]
    assert part.shape[1:] == (min(96, *size),) * 2


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_few_photos_there_are_fewer(data, count):
    report = evaluate(IdentityModel(), list(Paired(data))[:count], "gopro")
    assert list(notable(report)) == ["worst", "best"][:count]


def test_the_command(data, tmp_path, capsys):
    command = ["evaluate", "--model", "identity", "--data", str(data), "--dataset", "paired",
               "--protocol", "gopro", "--device", "cpu", "-o"]  # fmt: skip
    assert main([*command, str(tmp_path / "p.html")]) == 0
    assert f"wrote {tmp_path / 'p.html'}" in capsys.readouterr().out
    assert len(pictures((tmp_path / "p.html").read_text())) == 18
    assert main([*command, str(tmp_path / "p.htm")]) == 2
    assert "a page of photos in .html" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "none" / "p.html")]) == 2
    with pytest.raises(ReportError, match="cannot be written there"):
        check_page(tmp_path / "none" / "p.html")


def test_a_photo_that_has_gone_is_told(data, tmp_path):
    pairs = Paired(data)
    report = evaluate(IdentityModel(), pairs, "gopro")
    (data / "input" / "c.png").unlink()
    write_page(tmp_path / "p.html", report, IdentityModel(), pairs, protocol="gopro")
    page = (tmp_path / "p.html").read_text()
    assert re.search(r"median: c</h2>.*<p>[^<]*c\.png: ", page, re.DOTALL)
    assert len(pictures(page)) == 12
