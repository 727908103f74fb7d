"""The recipes that ship, on real photos: the layout is the readers', the physics is right."""

import re

import pytest
import torch
from skimage.data import coffee, rocket, stereo_motorcycle

from unfold.cli import main
from unfold.degradation.color_space import decode, lightness
from unfold.imaging import Photo, read, write
from unfold.registry.spec import spec_type
from unfold.synthesis import Pipeline, read_manifest, read_recipe, recipe_text, recipes
from unfold.synthesis.pipeline import seeded

READERS = {
    "lol-blur": "lol-blur",
    "lol-blur-frames": "lol-blur",
    "deblur": "gopro",
    "deblur-frames": "gopro",
    "defocus": "dpdd",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Fifteen frames of a camera that pans over a photo, one pixel at a time."""
    folder = tmp_path_factory.mktemp("source")
    scene = torch.from_numpy(coffee()).permute(2, 0, 1) / 255
    for t in range(15):
        write(folder / f"{t:03}.png", Photo(scene[:, 60:160, 100 + t : 220 + t].contiguous()))
    return folder


@pytest.mark.parametrize("name", recipes())
def test_the_reader_of_its_layout_reads_it(name, source, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["synthesize", str(source), "-o", str(out), "--recipe", name, "--count", "2"]
    assert main([*command, "--seed", "5", "--workers", "1", "--split", "test"]) == 0
    said = capsys.readouterr()
    assert "2 photos in" in said.out
    assert "photo/s" not in said.err  # no bar, as this is no terminal
    recipe = read_recipe(name)
    pairs = spec_type("datasets", READERS[name])().build(out)
    assert len(pairs) == 2
    for pair in pairs:
        bad, good = read(pair.input), read(pair.target)
        assert bad.bits == recipe.bits
        assert bad.image.shape == good.image.shape == (3, 100, 120)
        assert (bad.image - good.image).abs().mean() > 0.003
    assert read(out / "contact_sheet.png").image.shape[-2] == 16 + 2 * 184
    # A camera that pans: what is blurred is the middle frame.
    if recipe.frames > 1:
        assert read_manifest(out)[1][0]["source"] == "006.png"


def test_streaks_of_lights_stay_lights():
    """LEDNet's figure 2: a lamp smeared out by the shake is still a light, if clipping is undone
    first; else it goes gray."""
    recipe = read_recipe("lol-blur")
    night = torch.full((1, 3, 96, 96), 0.1)
    night[..., 40:56, 40:56] = 1.0
    pipeline = Pipeline(recipe)
    bright = {True: [], False: []}
    for seed in range(8):
        drawn = pipeline.draw(seeded(seed))
        for reverse in (True, False):
            omit = None if reverse else "clipping-reverse"
            made = pipeline.make({"sharp": night}, drawn, omit=omit)["low_blur"]
            bright[reverse].append(float((lightness(decode(made)) > 95).sum()))
    assert all(a >= b for a, b in zip(*bright.values(), strict=True))
    assert sum(bright[True]) > 1.5 * sum(bright[False])


def test_low_light_is_low_and_the_target_is_not():
    pipeline = Pipeline(read_recipe("lol-blur"))
    scene = {"sharp": torch.from_numpy(rocket()).permute(2, 0, 1)[None] / 255}
    for seed in range(4):
        made = pipeline.make(scene, pipeline.draw(seeded(seed)), omit="clipping-reverse")
        levels = [made[n].mean() for n in ("sharp", "high_sharp_scaled", "low_sharp")]
        assert levels == sorted(levels, reverse=True)
        assert levels[2] < 0.7 * levels[0]
        # Blur moves light about, and takes none (but for what the last clip cuts off).
        sharp, blur = (decode(made[n], "gamma-2.2").mean() for n in ("low_sharp", "low_blur"))
        torch.testing.assert_close(blur, sharp, rtol=0.02, atol=0)


def test_noise_comes_last():
    """On a flat photo blur shows nothing, noise does, and it is not blurred: neighbors are
    independent but for the demosaicing."""
    pipeline = Pipeline(read_recipe("lol-blur"))
    flat = {"sharp": torch.full((1, 3, 64, 64), 0.8)}
    made = pipeline.make(flat, pipeline.draw(seeded(2)))
    inner = (..., slice(24, 40), slice(24, 40))
    assert made["low_blur"][inner].std() < 1e-4
    assert made["low_blur_noise"][inner].std() > 1e-3


def test_defocus_follows_the_disparity(tmp_path):
    left, _, disparity = stereo_motorcycle()
    photo = torch.from_numpy(left).permute(2, 0, 1)[:, ::4, ::4] / 255
    depth = torch.from_numpy(disparity).nan_to_num(0, 0, 0)[None, ::4, ::4].float()
    depth = (depth / depth.max()).expand(3, -1, -1).contiguous()
    (tmp_path / "photos").mkdir()
    write(tmp_path / "photos" / "m.png", Photo(photo.contiguous()))
    write(tmp_path / "photos" / "m.disparity.png", Photo(depth))
    command = ["synthesize", str(tmp_path / "photos"), "-o", str(tmp_path / "out")]
    assert main([*command, "--recipe", "defocus", "--count", "1", "--workers", "1"]) == 0
    bad = read(tmp_path / "out/train_c/source/0000_0000.png").image
    lost = (bad - photo).abs().mean(0)
    (line,) = read_manifest(tmp_path / "out")[1].values()
    focus = next(s["focus"] for s in line["steps"] if s["kind"] == "depth-defocus")
    off = (depth[0] - focus).abs()
    assert lost[off > off.quantile(0.8)].mean() > 1.5 * lost[off < off.quantile(0.2)].mean()


def test_recipes_are_listed_and_printed(capsys):
    assert main(["list", "recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if "(synthesize)" in line]
    assert listed == recipes()
    with pytest.raises(SystemExit) as ended:
        main(["synthesize", "--show", "defocus"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == recipe_text("defocus")
    assert main(["synthesize", "--show", "lolblur"]) == 2
    assert "did you mean lol-blur?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--recipe", "lolblur"], "did you mean lol-blur?"),
        (["--split", "../x"], "must be a plain name"),
        (["--recipe", "gone.toml"], "gone.toml: cannot be read"),
    ],
)
def test_commands_that_cannot_be_done(source, tmp_path, capsys, change, message):
    command = ["synthesize", str(source), "-o", str(tmp_path / "out"), "--recipe", "deblur"]
    assert main([*command, "--count", "1", *change]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert not re.search(r"\n.", error)
    assert not (tmp_path / "out").exists()


def test_a_bad_photo_makes_the_status_1(source, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((source / "000.png").read_bytes())
    (tmp_path / "in" / "b.png").write_bytes((source / "000.png").read_bytes()[:900])
    command = [
        "synthesize",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--recipe",
        "deblur",
    ]
    assert main([*command, "--count", "2", "--workers", "1"]) == 1
    captured = capsys.readouterr()
    assert "1 photos in" in captured.out
    assert "b.png" in captured.err
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("text")
    assert (
        main(["synthesize", str(folder), "-o", str(tmp_path / "x"), *command[4:], "--count", "1"])
        == 2
    )
    assert "no photos" in capsys.readouterr().err
