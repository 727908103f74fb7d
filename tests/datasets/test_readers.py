"""Every registered reader: the conformance kit, and each error in turn."""

import os
import re
import shutil
import unicodedata

import pytest
from layouts import LAYOUTS, lol_blur, photos, put, two_folders

from unfold.datasets import DataError
from unfold.datasets.defocus import CUHK, DPDD, RTF, RealDOF
from unfold.datasets.lol import LOLBlur, RealLOLBlur
from unfold.datasets.motion_blur import GoPro, RealBlurJ
from unfold.datasets.plain import Paired, Unpaired
from unfold.imaging import read
from unfold.registry import scan
from unfold.registry.catalog import load
from unfold.registry.spec import spec_type
from unfold.testing import datasets
from unfold.testing.check import Check
from unfold.testing.tools import Subject

READERS = {
    c.name: c
    for c in scan().components
    if c.group == "datasets" and c.distribution == "unfold-imaging"
}
PAIRED = [name for name in READERS if name not in ("cuhk", "real-lol-blur", "unpaired")]


def conformance():
    for name, component in READERS.items():
        for title, rule in datasets.CHECKS.items():
            subject = Subject(load(component), LAYOUTS.get(name), name, "datasets")
            yield pytest.param(Check(title, rule.run, subject), id=f"{name}-{title}")


@pytest.mark.parametrize("check", list(conformance()))
def test_conformance(check):
    check()


def test_every_reader_has_a_layout():
    assert set(LAYOUTS) == set(READERS)


@pytest.fixture(params=sorted(READERS))
def made(request, tmp_path):
    """A reader, by its spec, and a sound data set for it."""
    root = tmp_path / "daten é"
    LAYOUTS[request.param](root)
    return lambda **options: spec_type("datasets", request.param)(**options).build(root)


def refusal(reader):
    with pytest.raises(DataError) as caught:
        reader()
    lines = str(caught.value).splitlines()
    assert lines[1:] == [f"  {problem}" for problem in caught.value.errors]
    return caught.value


BAD = {
    "empty": (lambda file: file.write_bytes(b""), "the file is empty; copy or download it again"),
    "text": (lambda file: file.write_text("no picture"), "not a PNG, JPEG or TIFF file"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:-9]), "copy or download it again"),
    "header": (lambda file: file.write_bytes(file.read_bytes()[:30]), "again"),
    "other size": (lambda file: put(file, 0, (8, 9)), "sizes differ"),
}


def test_bad_files_of_all_sorts_are_told_at_once(made):
    dataset = made()
    pairs = list(dataset)
    kinds = [kind for kind in BAD if kind != "other size" or pairs[0].target]
    told, bad = [], []
    for kind, pair in zip(kinds, pairs[:-1], strict=False):  # one is left as it is
        damage, reason = BAD[kind]
        damage(pair.input)
        place = pair.input.relative_to(dataset.root).as_posix()
        told.append((pair.name if kind == "other size" else place, reason))
        bad.append(pair)
    if pairs[0].target:  # both files of one photo
        pairs[0].target.write_bytes(b"")
        told.append((pairs[0].target.relative_to(dataset.root).as_posix(), "empty"))
    error = refusal(made)
    assert len(error.errors) == len(told)
    for place, reason in told:
        assert any(f.startswith(f"{place}: ") and reason in f for f in error.errors)
    rest = made(strict=False)
    assert list(rest) == [pair for pair in pairs if pair not in bad]
    assert len(rest) >= 1
    assert rest.errors == error.errors


def test_where_to_get_it_is_said(made, tmp_path):
    dataset = made()
    dataset[0].input.write_bytes(b"")
    assert dataset.source in str(refusal(made))
    assert dataset.layout in str(refusal(made)).splitlines()[0]


@pytest.mark.parametrize("name", sorted(PAIRED))
def test_missing_on_either_side(name, tmp_path):
    LAYOUTS[name](tmp_path)
    reader = load(READERS[name])
    pairs = list(reader(tmp_path))
    pairs[0].target.unlink()
    pairs[2].input.unlink()
    if name == "dpdd":  # by order: the numbers agree again, and nothing can be given
        assert len(reader(tmp_path)) == len(pairs) - 1
        pairs[1].target.unlink()
        assert (
            "test_c/source has 2 photos and test_c/target 1"
            in refusal(lambda: reader(tmp_path, strict=False)).errors[0]
        )
        return
    error = refusal(lambda: reader(tmp_path))
    assert len(error.errors) == 2
    assert any(pairs[0].name.rpartition("/")[2].split("_")[-1] in f for f in error.errors)
    rest = reader(tmp_path, strict=False)
    assert list(rest) == [pairs[1], *pairs[3:]]


@pytest.mark.parametrize("name", sorted(set(PAIRED) - {"realblur-j"}))
def test_missing_folders_are_told_not_their_files(name, tmp_path):
    LAYOUTS[name](tmp_path)
    reader = load(READERS[name])
    folders = {pair.target.parent for pair in reader(tmp_path)}
    for folder in folders:
        shutil.rmtree(folder)
    error = refusal(lambda: reader(tmp_path, strict=False))
    assert len(error.errors) <= len(folders)
    assert all(re.search("there (is|are) no (such folder|photos)", f) for f in error.errors)


def test_names_in_any_writing(tmp_path):
    for folder, form in (("input", "NFC"), ("target", "NFD")):
        for i, stem in enumerate(("é", "雪 1", "a\nb", "x.y")):
            put(tmp_path / folder / (unicodedata.normalize(form, stem) + ".png"), i)
    assert [pair.name for pair in Paired(tmp_path)] == ["a\nb", "x.y", "é", "雪 1"]
    (tmp_path / "input" / "a\nb.png").write_bytes(b"")
    assert refusal(lambda: Paired(tmp_path)).errors == (
        "input/a\\nb.png: the file is empty; copy or download it again",
    )


def test_numbers_sort_by_value(tmp_path):
    photos("2.png", "10.png", "1.png", "s10/1.png", "s2/3.png", "s2/12.png", "02.png")(tmp_path)
    names = [pair.name for pair in Unpaired(tmp_path)]
    assert names == ["1", "02", "2", "10", "s2/3", "s2/12", "s10/1"]


def test_two_files_of_one_name(tmp_path):
    two_folders("input", "target")(tmp_path)
    put(tmp_path / "input" / "7.JPG")
    (problem,) = refusal(lambda: Paired(tmp_path)).errors
    assert problem == "input: 7.JPG and 7.png are both 7; remove one"


@pytest.mark.parametrize("leads_to", [".", "..", "../.."])
def test_links_that_lead_up_are_not_followed(tmp_path, leads_to):
    root = tmp_path / "set"
    two_folders("input", "target")(root)
    (root / "input" / "loop").symlink_to(leads_to, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    assert [pair.name for pair in Paired(root)] == ["2", "7", "10"]
    # ... whereas links to elsewhere are.
    photos("9.png")(tmp_path / "elsewhere")
    (root / "input" / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert refusal(lambda: Paired(root)).errors == (
        "input/more/9.png: there is no more/9 in target",
    )


def test_what_is_no_file(tmp_path):
    photos("a.png", "b.png")(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.png").mkdir()
    assert refusal(lambda: Unpaired(tmp_path)).errors == (
        "gone.png: cannot be read (No such file or directory); copy or download it again",
        "pipe.png: this is not a regular file; copy its content into one",
    )


def test_a_link_to_itself_costs_no_other_photo(made):
    dataset = made()
    folders = {pair.input.parent for pair in dataset}
    for folder in folders:
        (folder / "loop.png").symlink_to("loop.png")
    if type(dataset) is RealBlurJ:  # reads what its lists name, no folder
        assert list(made()) == list(dataset)
        return
    rest = made(strict=False)
    assert list(rest) == list(dataset)
    assert len(rest.errors) == len(folders)
    assert all("loop.png cannot be searched (Too many" in problem for problem in rest.errors)


def test_a_folder_of_text_files(tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    assert "there are no photos in this folder" in refusal(lambda: Unpaired(tmp_path)).errors[0]


def test_one_cut_photo_among_a_hundred(tmp_path):
    photos(*(f"{i}.png" for i in range(100)))(tmp_path)
    (tmp_path / "42.png").write_bytes((tmp_path / "42.png").read_bytes()[:60])
    assert "1 error (strict=False goes on with 99 others)" in str(
        refusal(lambda: Unpaired(tmp_path))
    )
    assert len(Unpaired(tmp_path, strict=False)) == 99


def test_no_folder_at_all(tmp_path):
    error = refusal(lambda: Paired(tmp_path / "none"))
    assert str(error).startswith(f"{tmp_path}/none: there is no such folder; a paired folder is")
    assert error.errors == ()


def test_a_split_where_there_is_none(tmp_path):
    photos("a.png")(tmp_path)
    with pytest.raises(DataError, match=r"an unpaired folder has no split 'train'; it has none"):
        Unpaired(tmp_path, "train")


@pytest.mark.parametrize("target", ["high_sharp_scaled", "low_sharp", "high_sharp_original"])
@pytest.mark.parametrize("input", ["low_blur", "low_blur_noise"])
def test_lol_blur_reads_the_kinds_asked_for(tmp_path, input, target):
    LAYOUTS["lol-blur"](tmp_path)
    pair = LOLBlur(tmp_path, "train", input=input, target=target)[0]
    assert pair.input == tmp_path / "train" / input / "0003" / "0001.png"
    assert pair.target == tmp_path / "train" / target / "0003" / "0001.png"
    assert (pair.name, pair.sequence, pair.clip) == ("0003/0001", "0003", 0)


def test_lol_blur_sequences_have_two_clips(tmp_path):
    lol_blur(tmp_path, range(11, 71), ["0012"])
    dataset = LOLBlur(tmp_path)
    assert [pair.clip for pair in dataset] == [0] * 30 + [1] * 30
    # A photo that is missing on one side, or damaged, does not move the border.
    dataset[3].target.unlink()
    dataset[5].input.write_bytes(b"")
    rest = LOLBlur(tmp_path, strict=False)
    assert len(rest) == 58
    assert {pair.name: pair.clip for pair in rest}.items() <= {
        pair.name: pair.clip for pair in dataset
    }.items()


def test_lol_blur_frames_outside_of_sequences(tmp_path):
    LAYOUTS["lol-blur"](tmp_path)
    put(tmp_path / "test" / "low_blur_noise" / "0042_0060.png")
    put(tmp_path / "test" / "high_sharp_scaled" / "0042_0060.png")
    assert refusal(lambda: LOLBlur(tmp_path)).errors == (
        "test: 1 photos are not in the folder of a sequence",
    )
    assert len(LOLBlur(tmp_path, strict=False)) == 8


@pytest.mark.parametrize(("paper", "count"), [("lednet", 400), ("jude", 1354)])
def test_real_lol_blur_has_the_number_of_photos_that_each_paper_says(tmp_path, paper, count):
    put(tmp_path / "a" / "0.png")
    photo = (tmp_path / "a" / "0.png").read_bytes()
    for i in range(1, count):
        (tmp_path / "a" / f"{i}.png").write_bytes(photo)
    assert len(RealLOLBlur(tmp_path, paper=paper)) == count
    (tmp_path / "a" / "0.png").unlink()
    (problem,) = refusal(lambda: RealLOLBlur(tmp_path, paper=paper)).errors
    assert problem.startswith(f"{count - 1} photos, but the set of paper={paper} has {count}: ")
    assert len(RealLOLBlur(tmp_path)) == count - 1
    assert len(RealLOLBlur(tmp_path, paper=paper, strict=False)) == count - 1


def test_real_lol_blur_of_named_photos(tmp_path):
    root, names = tmp_path / "photos", tmp_path / "names.txt"
    LAYOUTS["real-lol-blur"](root)
    names.write_text("sony/0002_0006.png\n\nj/075_blur_9\n")
    dataset = spec_type("datasets", "real-lol-blur")(names=names).build(root)
    assert [pair.name for pair in dataset] == ["j/075_blur_9", "sony/0002_0006"]
    names.write_text("sony/0002_0006.png\nsony/gone\n")
    assert refusal(lambda: RealLOLBlur(root, names=names)).errors == (
        f"{names}: there is no photo sony/gone",
    )
    assert len(RealLOLBlur(root, names=names, strict=False)) == 1
    names.unlink()
    assert "cannot be read" in refusal(lambda: RealLOLBlur(root, names=names)).errors[0]


def test_a_folder_that_may_not_be_searched(tmp_path, monkeypatch):
    two_folders("input", "target")(tmp_path)
    photos("deep/1.png")(tmp_path / "input")
    scan_folder = os.scandir

    def refuse(folder):  # (the tests may run as root, whom no rights hold back)
        if os.path.basename(folder) == "deep":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan_folder(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    (problem,) = refusal(lambda: Paired(tmp_path)).errors
    assert problem == f"input: {tmp_path}/input/deep cannot be searched (Permission denied)"
    assert [pair.name for pair in Paired(tmp_path, strict=False)] == ["2", "7", "10"]


@pytest.mark.parametrize("kind", ["blur", "blur_gamma"])
def test_gopro_sequences(tmp_path, kind):
    LAYOUTS["gopro"](tmp_path)
    (tmp_path / "test" / "loop").symlink_to("..", target_is_directory=True)
    (tmp_path / "test" / ".hidden").mkdir()
    dataset = GoPro(tmp_path, input=kind)
    assert {pair.sequence for pair in dataset} == {"GOPR0384_11_00", "b c"}
    assert dataset[0].name == "GOPR0384_11_00/000047"
    assert dataset[0].input == tmp_path / "test/GOPR0384_11_00" / kind / "000047.png"
    assert dataset[0].target == tmp_path / "test/GOPR0384_11_00/sharp/000047.png"


def test_realblur_lists(tmp_path):
    LAYOUTS["realblur-j"](tmp_path)
    names = [f"scene{s}/blur_{i}" for s in ("010", "230") for i in (1, 2, 10)]
    assert [pair.name for pair in RealBlurJ(tmp_path)] == names
    listing = tmp_path / "RealBlur_J_test_list.txt"
    lines = listing.read_text().splitlines()
    listing.write_text("\n".join([*lines, "only/one.png", lines[0]]))
    assert refusal(lambda: RealBlurJ(tmp_path)).errors == (
        "RealBlur_J_test_list.txt: line 8 names no two photos: 'only/one.png'",
        "RealBlur_J_test_list.txt: line 9 names scene010/blur_1 again",
    )
    listing.unlink()
    error = refusal(lambda: RealBlurJ(tmp_path))
    assert "rimchang/RealBlur" in str(error)
    assert error.errors[0].startswith("RealBlur_J_test_list.txt: cannot be read (No such file")


def test_dpdd_pairs_by_order_and_has_views(tmp_path):
    LAYOUTS["dpdd"](tmp_path)
    (first, *_) = DPDD(tmp_path)
    assert (first.input.name, first.target.name) == ("1P0A1000.png", "1P0A1001.png")
    assert first.views == {}
    assert read(first.input).bits == 16
    (first, *_) = DPDD(tmp_path, view="dual-pixel")
    assert {side: path.relative_to(tmp_path).as_posix() for side, path in first.views.items()} == {
        "left": "test_l/source/1P0A1000_L.png",
        "right": "test_r/source/1P0A1000_R.png",
    }
    first.views["left"].unlink()
    error = refusal(lambda: DPDD(tmp_path, view="dual-pixel"))
    assert error.errors == ("test_c/source/1P0A1000.png: there is no 1P0A1000 in test_l/source",)
    assert len(DPDD(tmp_path, view="dual-pixel", strict=False)) == 2
    assert len(DPDD(tmp_path)) == 3


def test_order_counts_only_where_no_name_is_shared(tmp_path):
    two_folders("source", "target")(tmp_path)
    (tmp_path / "source" / "2.png").unlink()
    assert refusal(lambda: RealDOF(tmp_path)).errors == ("target/2.png: there is no 2 in source",)


def test_rtf_folders_by_option(tmp_path):
    two_folders("image/1.6", "GT")(tmp_path)
    assert refusal(lambda: RTF(tmp_path)).errors == ("image/0: there is no such folder",)
    assert [pair.name for pair in RTF(tmp_path, input="image/1.6")] == ["2", "7", "10"]


def test_paired_folders_by_option(tmp_path):
    two_folders("dark/a", "bright/a")(tmp_path)
    pairs = Paired(tmp_path, input="dark", target="bright")
    assert [pair.name for pair in pairs] == ["a/2", "a/7", "a/10"]
    assert pairs[0].input == tmp_path / "dark" / "a" / "2.png"
    assert pairs[0].target == tmp_path / "bright" / "a" / "2.png"


def test_cuhk_passes_over_motion_and_masks(tmp_path):
    LAYOUTS["cuhk"](tmp_path)
    photos("motion0001.jpg", "gt/out_of_focus0001.png")(tmp_path)
    names = [pair.name for pair in CUHK(tmp_path)]
    assert names == ["out_of_focus0001", "out_of_focus0002", "out_of_focus0010"]


@pytest.mark.parametrize(
    ("folder", "input", "target", "count"),
    [("lowlight/lol_train18", "low", "high", 18), ("blur/deepdeblur_pairs", "blur", "sharp", 2)],
)
def test_real_pairs(folder, input, target, count):
    root = os.environ.get("UNFOLD_DATA")
    if not root or not os.path.isdir(os.path.join(root, folder)):
        pytest.skip(f"UNFOLD_DATA names no folder with {folder}")
    pairs = Paired(os.path.join(root, folder), input=input, target=target)
    assert len(pairs) == count
    assert all(pair.input.parent.name == input for pair in pairs)
