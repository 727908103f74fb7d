"""What a model found in a photo, in one line."""

import pytest
import torch
from skimage.data import astronaut, coffee

import unfold
from unfold.cli import main
from unfold.degradation import blur, motion_kernel
from unfold.imaging import Photo, write
from unfold.restoration import TiledInference
from unfold.restoration.findings import findings, sentence, with_focus

POINT, STROKE = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
POINT[..., 2, 2] = 1
STROKE[..., 2, 1:4] = 1 / 3


def number(value):
    return torch.full((1, 1, 1, 1), value)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ({}, ""),
        ({"grain": number(0.1)}, ""),
        ({"gain": number(1.0), "grain": number(0.001)}, "found no defect"),
        ({"gain": number(4.0)}, "found dark (exposure ×4.0)"),
        ({"gain": number(1.5), "curve": number(2.0)}, "found dark (exposure ×3.0)"),
        ({"kernel": POINT}, "found no defect"),
        (
            {"kernel": STROKE, "grain": number(10 / 255)},
            "found shaken (within 3 pixels), noisy (σ = 10.0/255)",
        ),
        ({"kernel": STROKE.expand(1, 3, 5, 5)}, "found no defect"),
        ({"kernel": POINT, "radius": number(0.9)}, "found no defect"),
        (
            {"kernel": POINT, "radius": number(2.0)},
            "found out of focus (radius 2.0 pixels, see --model era-small)",
        ),
    ],
)
def test_lines(found, line):
    assert sentence(found) == line


def test_a_kernel_that_was_given_was_not_found():
    parts = {"kernel": STROKE, "grain": number(0.01), "I": torch.zeros(1, 3, 8, 8)}
    assert findings(parts, kernel_known=True).keys() == {"grain"}
    assert findings(parts, kernel_known=False).keys() == {"grain", "kernel"}


@pytest.mark.parametrize("radius", [2.0, 4.0])
def test_focus_is_that_of_the_middle(radius):
    sharp = torch.from_numpy(coffee().copy()).permute(2, 0, 1).float() / 255
    defocus = unfold.create("degradations", "defocus", shapes=["disc"], radius=(radius, radius))
    blurred = defocus(sharp[None], generator=torch.Generator().manual_seed(0))[0].clamp(0, 1)
    assert 0.7 * radius < float(with_focus({"kernel": POINT}, blurred)["radius"]) < 1.4 * radius
    assert float(with_focus({"kernel": POINT}, sharp)["radius"]) < 0.5
    wide = torch.cat([blurred, sharp, blurred], -1)
    assert float(with_focus({"kernel": POINT}, wide)["radius"]) < 0.5


def test_focus_is_not_measured_in_a_shaken_photo():
    assert with_focus({"kernel": STROKE}, torch.rand(3, 64, 64)).keys() == {"kernel"}
    assert with_focus({"gain": number(1.0)}, torch.rand(3, 64, 64)).keys() == {"gain"}


def shaken():
    sharp = torch.from_numpy(astronaut()[:160, 90:290].copy()).permute(2, 0, 1)[None] / 255
    kernel = motion_kernel(9, generator=torch.Generator().manual_seed(1)).float()
    return blur(sharp, kernel)[0].clamp(0, 1)


def test_together_and_alone_find_the_same():
    options = {"kernel_estimator": {"kind": "blind", "size": 15}, "prior": "identity"}
    restorer = TiledInference(unfold.create_model("deblur", **options).eval())
    photo = shaken()
    other = photo.flip(-1)
    alone = [restorer(photo).found, restorer(other).found]
    together = [one.found for one in restorer.restore_batch([photo, other])]
    for one, two in zip(alone, together, strict=True):
        assert one.keys() == two.keys() == {"kernel", "grain"}
        torch.testing.assert_close(one["kernel"], two["kernel"], rtol=0, atol=1e-4)


def test_restore_says_it(tmp_path, capsys):
    write(tmp_path / "photo.png", Photo(shaken()))
    options = ["--set", "kernel_estimator=blind", "--set", "kernel_estimator.size=15"]
    command = ["restore", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png")]
    assert main([*command, "--model", "deblur", *options]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "found" in line]
    assert "photo.png: found shaken (within " in line
