"""The commands as a user types them."""

import re
import sys

import numpy as np
import pytest
import torch
from skimage.data import astronaut, coffee

from unfold.cli import main
from unfold.imaging import Photo, read, write


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "coffee.jpg"
    path.parent.mkdir()
    image = torch.tensor(coffee()[:64, 100:180]).permute(2, 0, 1).float() / 255
    write(path, Photo(0.25 * image))
    return path


@pytest.fixture
def small_astronaut(monkeypatch):
    """The face: a quarter of the photo that the demo is made with."""
    whole = astronaut()
    monkeypatch.setattr("skimage.data.astronaut", lambda: whole[:256, 80:336])


def test_demo_restores_a_real_photo_blindly_and_shows_it(tmp_path, capsys, small_astronaut):
    assert main(["demo", "--output", str(tmp_path / "demo.png"), "--device", "cpu"]) == 0
    rows = re.findall(r"^(\S.*?) +([\d.]+) +([\d.]+)$", capsys.readouterr().out, re.M)
    psnr = {name: float(value) for name, value, _ in rows}
    ssim = {name: float(value) for name, _, value in rows}
    assert psnr["restored"] > psnr["input"] + 15
    assert psnr["restored"] > psnr["input, brightened"] + 3.5
    assert ssim["restored"] > ssim["input, brightened"] + 0.3
    picture = read(tmp_path / "demo.png").image
    assert picture.shape == (3, 256, 3 * 256)


def test_demo_tells_the_kernel_to_a_model_that_needs_it(tmp_path, capsys, small_astronaut):
    demo = ["demo", "--output", str(tmp_path / "demo.png"), "--device", "cpu"]
    assert main([*demo, "--model", "tv-deblur"]) == 0
    rows = re.findall(r"^(\S.*?) +([\d.]+) +([\d.]+)$", capsys.readouterr().out, re.M)
    ssim = {name: float(value) for name, _, value in rows}
    assert ssim["restored"] > ssim["input"] + 0.01


@pytest.mark.parametrize(("kernel", "model"), [(False, "jude-small"), (True, "jude-classic")])
def test_the_default_model_depends_on_what_is_known(photo, tmp_path, kernel, model):
    np.save(tmp_path / "k.npy", np.ones((3, 5)))
    told = ["--kernel", str(tmp_path / "k.npy")] if kernel else []
    out = [tmp_path / "default", tmp_path / "named"]
    assert main(["restore", str(photo), "--output", str(out[0]), "--device", "cpu", *told]) == 0
    named = ["restore", str(photo), "--output", str(out[1]), "--model", model, "--device", "cpu"]
    assert main([*named, *told]) == 0
    default, by_name = (next(folder.glob("coffee.*")).read_bytes() for folder in out)
    assert default == by_name


def test_restore(photo, tmp_path, capsys):
    np.save(tmp_path / "k.npy", np.ones((3, 5)))
    out = tmp_path / "out"
    arguments = ["restore", str(photo), "--output", str(out), "--kernel", str(tmp_path / "k.npy")]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert "1 of 1 restored" in capsys.readouterr().out
    restored = read(out / "coffee.jpg").image
    assert restored.shape == (3, 64, 80)
    assert restored.mean() > 2 * read(photo).image.mean()


def test_restore_reports_bad_files_and_exits_with_1(photo, tmp_path, capsys):
    (photo.parent / "bad.png").write_bytes(b"")
    assert main(["restore", str(photo.parent), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "1 of 2 restored" in captured.out
    assert re.search(r"unfold: .*bad\.png: the file is empty", captured.err)
    assert (tmp_path / "out" / "coffee.jpg").exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--model", "jude"], "no trained weights"),
        (["--model", "judy"], "did you mean jude"),
        (["--device", "tpu9"], "device 'tpu9' cannot be used"),
        (["--device", "meta"], "device 'meta' cannot be used"),
        (["--device", "cudaa"], "device 'cudaa' cannot be used (torch knows no such device); give"),
        (["--kernel", "gone.npy"], "gone.npy"),
        (["--model", "deconv-small"], "deconv-small needs the blur's kernel: give --kernel FILE"),
        (["--model", "deconv-small -> identity"], "needs the blur's kernel: give --kernel FILE"),
    ],
)
def test_commands_that_cannot_be_done_say_so_in_a_line(photo, tmp_path, capsys, extra, message):
    assert main(["restore", str(photo), "-o", str(tmp_path / "out"), *extra]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def test_an_unknown_suffix_is_no_folder_unless_it_is_meant(photo, tmp_path, capsys):
    command = ["restore", str(photo), "--model", "identity", "-o"]
    assert main([*command, str(tmp_path / "o.xyz")]) == 2
    assert "o.xyz: .xyz cannot be written; use one of .png, " in capsys.readouterr().err
    assert not (tmp_path / "o.xyz").exists()
    assert main([*command, f"{tmp_path}/o.xyz/"]) == 0
    assert (tmp_path / "o.xyz" / photo.name).exists()
    assert main([*command, str(tmp_path / "o.xyz")]) == 0  # it is there
    folder = ["restore", str(photo.parent), "--model", "identity", "-o", str(tmp_path / "of.v2")]
    assert main(folder) == 0
    assert (tmp_path / "of.v2" / photo.name).exists()


@pytest.mark.parametrize(
    "command",
    ["table jude-1", "explain tv-deblur", "certify tv-deblur", "schema", "list", "list models",
     "list priors --json"],
)  # fmt: skip
def test_a_text_is_printed_or_written(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setattr("unfold.registry.schema.schema", lambda seconds: ({"ρ": 1}, []))
    assert main(command.split()) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "text"
    path.write_text("what was there before")
    assert main([*command.split(), "-o", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert path.read_text(encoding="utf-8") == printed
    assert printed.endswith("\n")
    assert [each.name for each in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("demo -o d.xyz", "d.xyz: the suffix must be one of .png, "),
        ("demo -o none/d.png", "there is no folder"),
        ("schema -o none/x.json", "none/x.json: there is no folder"),
        ("schema -o .", "this is a folder; name a file in it"),
        ("table jude-1 -o none/t.md", "none/t.md: there is no folder"),
        ("explain jude -o none/t.txt", "none/t.txt: there is no folder"),
        ("certify jude -o none/t.txt", "none/t.txt: there is no folder"),
        ("convert lednet none.pth -o x.safetensors", "none.pth: cannot be read (No such file or "
         "directory); check the path"),
        ("journal merge none.jsonl -o y.jsonl", "none.jsonl: cannot be read (No such file or "
         "directory); check the path"),
        ("list models -o none/t.txt", "none/t.txt: there is no folder"),
        ("list models zzz*", "no models match 'zzz*'; `unfold list models` has all names"),
        ("list model", "no group named 'model'; did you mean models?"),
        ("explain jude-small --set stagess=3 --set noise=-1", "jude-small: noise: must be greater "
         "than 0, got -1; stagess: there is no such option; options are K, "),
        ("explain jude-small --set Kk=3", "Kk: there is no such option; did you mean K?"),
    ],
)  # fmt: skip
def test_files_and_names_are_checked_first(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("unfold.degradation.dark_and_shaken.dark_and_shaken", None)
    monkeypatch.setattr("unfold.registry.schema.schema", None)  # (so that computing would fail)
    assert main(command.split()) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_no_match_is_an_empty_array_for_programs(capsys):
    assert main(["list", "models", "zzz*", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_list_has_no_marks_of_code_and_fits_the_terminal(monkeypatch, capsys, terminal):
    """Elsewhere than on a terminal, each name has one line, for programs such as grep."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "72")
    assert main(["list", "priors"]) == 0
    out = capsys.readouterr().out
    assert "g(x) = 0 if low" in out
    assert "``" not in out
    names = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert names == sorted(names)
    assert (max(map(len, out.splitlines())) <= 72) == terminal
    assert (len(names) == len(out.splitlines())) == (not terminal)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_bar_is_drawn_on_terminals_and_messages_have_their_own_lines(
    photo, tmp_path, monkeypatch, capsys, terminal
):
    (photo.parent / "bad.png").write_bytes(b"x")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    command = ["restore", str(photo.parent), "-o", str(tmp_path / "out"), "--model", "identity"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert ("2/2" in error) == terminal
    shown = [line.rpartition("\r")[2] for line in error.split("\n")]  # as a terminal shows them
    assert any(line.startswith(f"unfold: {photo.parent / 'bad.png'}: not a PNG") for line in shown)


def test_list(capsys):
    assert main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == sorted(names)
    assert "jude-classic" in names
    assert main(["list", "nonsense"]) == 2
    assert "no group named 'nonsense'; groups are models, priors" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_a_line_with_the_remedy(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["plugins", "new", "acme-prior", "-o", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"unfold: {tmp_path / 'file'}/acme-prior: cannot be read or written")
    assert error.endswith("; check the path, its permissions and the space on the disk\n")
    assert error.count("\n") == 1


def test_explain(capsys):
    assert main(["explain", "jude"]) == 0
    text = capsys.readouterr().out
    assert "w1·|F(H)|² + w5" in text
    assert "35,412,430 parameters" in text
    assert "Impute" in text


def test_configs_name_a_model_and_its_options(tmp_path, capsys):
    toml, other = tmp_path / "m.toml", tmp_path / "m.json"
    toml.write_text('kind = "jude-small"\nK = 2\n[prior]\nkind = "resunet"\nwidths = [8, 16]\n')
    other.write_text(
        '{"kind": "jude-small", "K": 2, "prior": {"kind": "resunet", "widths": [8, 16]}}'
    )
    said = []
    for path in (toml, other):
        assert main(["explain", str(path), "--set", "denoiser=false"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "stages: 2, untied" in said[0]
    assert "denoiser 0" in said[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.toml", "kind = ", "cannot be read as a config"),
        ("m.json", "[1]", "must name its component"),
        ("m.json", '{"K": 3}', "must name its component"),
        ("gone.json", None, "No such file"),
        ("m.json", '{"kind": "jude", "K": 0, "prior": {"kind": "resunet", "blocks": "x", "q": 1}}',
         "K: must be greater than or equal to 1, got 0; prior.blocks: must be a valid "
         "integer, unable to parse string as an integer, got 'x'; prior.q: there is no such"),
    ],
)  # fmt: skip
def test_bad_configs_are_told_in_a_line(tmp_path, capsys, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["explain", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize("bad", ["K", "=3", "prior..width=2"])
def test_assignments_that_are_none(capsys, bad):
    assert main(["explain", "jude", "--set", bad]) == 2
    assert "must be KEY=VALUE" in capsys.readouterr().err
