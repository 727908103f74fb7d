"""``unfold export``: graphs that do what PyTorch does, and say what they are."""

import json
import os

import pytest
import torch
from torch.nn.functional import interpolate

import unfold
from unfold.cli import main
from unfold.imaging import Photo, write
from unfold.restoration import TiledInference, read_kernel
from unfold.restoration.kernel_file import write_kernel

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from unfold_onnx.check import compare, in_onnxruntime  # noqa: E402
from unfold_onnx.darktable import config  # noqa: E402
from unfold_onnx.graph import to_onnx, trace  # noqa: E402
from unfold_onnx.tile import Tile, example  # noqa: E402

SIDE = 64
TINY = {"kind": "resunet", "widths": (4, 8), "residual": True, "unshuffle": 2}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def image():
    """Smooth shapes and some noise."""
    coarse = interpolate(torch.rand(1, 3, 8, 8), size=(SIDE, SIDE), mode="bicubic")
    return (coarse + 0.01 * torch.randn(1, 3, SIDE, SIDE)).clamp(0, 1)


@pytest.fixture
def photo(image, tmp_path):
    write(tmp_path / "photo.png", Photo(image[0]))
    return tmp_path / "photo.png"


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "kernel.npy"
    write_kernel(path, torch.tensor([[0.1, 0.2, 0.1], [0.0, 0.3, 0.3]])[None, None])
    return path


def facts_of(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def shape_of(given):
    return [dimension.dim_value for dimension in given.type.tensor_type.shape.dim]


def graph_of(tile, inputs, names=("input",)):
    return to_onnx(trace(tile, inputs, matrices=True), names).SerializeToString()


class Filter(torch.nn.Module):
    def forward(self, image):
        spectrum = torch.fft.rfft2(image)
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.fft.irfft2(spectrum / (power + 1), s=image.shape[-2:])


@pytest.mark.parametrize("matrices", [True, False])
def test_a_fourier_transform_is_an_operator_or_products(matrices):
    image = torch.rand(1, 1, 16, 16)
    model = to_onnx(trace(Filter().eval(), (image,), matrices=matrices), ("input",))
    assert any(node.op_type == "DFT" for node in model.graph.node) != matrices
    run, _ = in_onnxruntime(model.SerializeToString())
    torch.testing.assert_close(run(image), Filter()(image), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_deconvolution_is_one_graph_of_real_numbers(photo, image, kernel, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    command = ["export", "tv-deblur", "--photo", str(photo), "--kernel", str(kernel),
               "--size", str(SIDE), "--set", "K=2", "--set", "prior=box", "--inputs", "noise",
               "--check", "-o"]  # fmt: skip
    assert main([*command, str(path)]) == 0
    assert "inputs: input, noise; constants: grain, residue, kernel" in capsys.readouterr().out
    model = onnx.load(path)
    assert not any(node.op_type == "DFT" for node in model.graph.node)
    ends = {given.name: shape_of(given) for given in (*model.graph.input, *model.graph.output)}
    tile = [1, 3, SIDE, SIDE]
    assert ends == {"input": tile, "noise": [1, 1, 1, 1], "output": tile}
    facts = facts_of(path)
    assert (facts["name"], facts["scale"], facts["tile_size"]) == ("tv-deblur", "1", str(SIDE))
    assert json.loads(facts["measured"])["kernel"] == [1, 1, 2, 3]
    assert json.loads(facts["inputs"]) == ["input", "noise"]
    assert (facts["overlap"], facts["overlap_error"]) == ("0", "0.0e+00")
    assert "darktable" not in facts  # which would give a map as its second input

    run, _ = in_onnxruntime(path.read_bytes())
    restorer = unfold.create_model("tv-deblur", K=2, prior="box").eval()
    with torch.inference_mode():
        for noise in (0.01, 0.05):  # the input is one: the result follows it
            given = torch.full((1, 1, 1, 1), noise)
            known = read_kernel(kernel)
            want = restorer(
                image,
                kernel=known,
                measurements=dict.fromkeys(("noise", "residue", "grain"), given),
            )
            assert (run(image, given) - want.image).abs().max() < 1e-4


def test_the_denoiser_takes_a_map_of_the_noise(photo, tmp_path):
    path = tmp_path / "denoiser.onnx"
    command = ["export", "denoiser", "--photo", str(photo), "--size", str(SIDE), "-o", str(path)]
    assert main([*command, "--inputs", "sigma", "--check"]) == 0
    shapes = [given.type.tensor_type.shape for given in onnx.load(path).graph.input]
    assert [[d.dim_value for d in s.dim] for s in shapes] == [
        [1, 3, SIDE, SIDE],
        [1, 1, SIDE, SIDE],
    ]
    facts = facts_of(path)
    assert len(facts["weights_sha256"]) == 64
    described = json.loads(facts["darktable"])  # (its loader reads these names)
    assert (described["id"], described["task"]) == ("denoise-denoiser", "denoise")
    assert (described["backend"], described["num_inputs"]) == ("onnx", 2)
    assert described["attributes"] == {"input_sizes": [SIDE]}
    assert all(described[key] for key in ("name", "description", "version"))
    assert main([*command, "--check"]) == 0  # ours: it is replaced
    assert len(onnx.load(path).graph.input) == 1


@pytest.mark.slow  # (tracing takes 10 s each)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jude", {"prior": TINY, "kernel_estimator": "point", "trust": False, "careful": True,
                  "reflectance": "Z/L", "exposure": "exposure-brightest",
                  "enhancer": {"kind": "illumination", "widths": (4, 8), "pooled": True},
                  "denoiser": None}),
        ("era", {"prior": TINY, "kernel_estimator": {"kind": "kernel", "size": 5,
                                                     "widths": (4, 4, 8, 8)}}),
    ],
)  # fmt: skip
def test_whole_models_agree_on_a_tile(name, options, image):
    model = unfold.create_model(name, K=1, **options).eval()
    measured = TiledInference(model).measure(image[0])
    assert set(model.pooled_features) <= set(measured)
    tile = Tile(model, measured).eval()
    inputs = example(tile, image, measured)
    with torch.inference_mode():
        want = model(image, measurements=measured).image
        torch.testing.assert_close(tile(*inputs), want)
    found = compare(*in_onnxruntime(graph_of(tile, inputs)), tile, inputs)
    assert found.largest < 1e-4, found


@pytest.mark.parametrize(
    ("overlap", "described"), [(0, True), (64, True), (72, False), (None, False)]
)
def test_darktable_gets_only_what_its_tiles_do_not_break(overlap, described):
    found = config("My_Model.json", "What it does.", "1.0", 1, 512, overlap)
    assert (found is not None) == described
    assert found is None or found["id"] == "denoise-my-model"


@pytest.mark.parametrize(
    ("radius", "error", "status"), [(20, 4e-4, 0), (20, 5e-3, 0), (32, 4e-4, 2)]
)
def test_seams_that_no_overlap_removes_are_described(
    radius, error, status, tmp_path, monkeypatch, capsys
):
    """As `unfold restore`, which uses the largest overlap that it tried."""
    from unfold.restoration import receptive_field

    def measured(*args, **options):
        return receptive_field.ReceptiveField(radius, error)

    monkeypatch.setattr(receptive_field, "measure_receptive_field", measured)
    path = tmp_path / "model.onnx"
    assert main(["export", "zero-dce", "--size", str(SIDE), "-o", str(path)]) == status
    assert path.exists() == (status == 0)
    if path.exists():
        facts = facts_of(path)
        assert (facts["overlap"], facts["overlap_error"]) == ("20", f"{error:.1e}")
        said = capsys.readouterr().out
        assert f"differs by {error:.1e} at most" in said
        assert ("seams may be visible" in said) == ("darktable" not in facts) == (error > 2e-3)


def as_chainner(model, photo):
    """chaiNNer's program for a generic model of a fixed size, in short: the first input and the
    first output, RGB float32 channels first, exact tiles that overlap by 16."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    given, made = session.get_inputs()[0], session.get_outputs()[0]
    _, channels, height, width = given.shape
    assert (channels, made.shape, given.type) == (3, given.shape, "tensor(float)")
    out = photo.copy()
    for top in range(0, photo.shape[0] - height + 1, height - 32):
        for left in range(0, photo.shape[1] - width + 1, width - 32):
            part = photo[top : top + height, left : left + width].transpose(2, 0, 1)[None]
            (result,) = session.run([made.name], {given.name: part})
            inner = result[0].transpose(1, 2, 0)[16:-16, 16:-16]
            out[top + 16 : top + height - 16, left + 16 : left + width - 16] = inner
    return out


def test_the_program_of_chainner_restores_a_photo_in_tiles(tmp_path):
    path = tmp_path / "model.onnx"
    side = 96
    assert main(["export", "zero-dce", "--size", str(side), "-o", str(path)]) == 0
    coarse = torch.rand(1, 3, 12, 12)
    photo = interpolate(coarse, size=(side + 64, side + 128), mode="bicubic").clamp(0, 1)
    got = as_chainner(path.read_bytes(), photo[0].permute(1, 2, 0).numpy())
    with torch.inference_mode():
        want = unfold.create_model("zero-dce", pretrained=True).eval()(photo).image[0]
    inside = got[16:-16, 16:-16] - want.permute(1, 2, 0).numpy()[16:-16, 16:-16]
    assert abs(inside).max() < 2e-3, abs(inside).max()


class Wrong(torch.nn.Module):
    def forward(self, image):
        return image + 3e-4


def test_a_difference_fails_the_check(image):
    found = compare(lambda x: x, "a graph", Wrong().eval(), (image,))
    assert not found.equal
    assert found.largest == pytest.approx(3e-4, rel=1e-2)
    assert "differ by 3.0e-04 at most" in str(found)


def test_a_program_of_torch_export_runs_anywhere(photo, image, tmp_path):
    path = tmp_path / "model.pt2"
    command = ["export", "zero-dce", "--photo", str(photo), "--size", str(SIDE), "--torch-export"]
    assert main([*command, "--check", "-o", str(path)]) == 0
    extra = {"unfold.json": ""}
    program = torch.export.load(path, extra_files=extra)
    assert json.loads(extra["unfold.json"])["name"] == "zero-dce"
    model = unfold.create_model("zero-dce", pretrained=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(program.module()(image), model(image).image)
    assert main([*command, "-o", str(path)]) == 0  # ours: it is replaced


REFUSED = [
    (["nonsense", "-o", "m.onnx"], "no model named 'nonsense'"),
    (["deconv-small", "-o", "m.onnx"], "needs the blur's kernel: give --kernel FILE"),
    (["jude-small", "-o", "m.onnx"], "jude-small measures the photo: give --photo"),
    (["ircnn", "-o", "m.onnx"], "ircnn requires training"),
    (["zero-dce -> zero-dce", "-o", "m.onnx"], "export them one by one"),
    (["zero-dce", "-o", "m.pt2"], "must end in .onnx"),
    (["zero-dce", "-o", "m.onnx", "--torch-export"], "must end in .pt2"),
    (["zero-dce", "-o", "no/m.onnx"], "no: no such folder"),
    (["zero-dce", "-o", "other.onnx"], "exists, and is not an export of unfold"),
    (["zero-dce", "-o", "other.pt2", "--torch-export"], "exists, and is not an export of unfold"),
    (["zero-dce", "-o", "m.onnx", "--photo", "photo.png"], "64×64 pixels, less than a tile"),
    (["zero-dce", "-o", "m.onnx", "--size", "16"], "choose a larger --size"),
    (["tv-deblur", "-o", "m.onnx", "--photo", "photo.png", "--size", "64", "--inputs", "gain"],
     "has no input gain; it has noise, grain, kernel, residue"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_is_refused(arguments, message, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("other.onnx", "other.pt2"):
        (tmp_path / name).write_bytes(b"of somebody else")
    before = sorted(os.listdir())
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_a_model_that_cannot_be_traced_is_one_line(photo, tmp_path, monkeypatch, capsys):
    """Its course depends on a value."""
    from unfold.models.zero_dce import ZeroDCE
    from unfold.restorer import Restoration

    def forward(self, image, **options):
        return Restoration(image / 2 if image.mean() > 0.5 else image)

    monkeypatch.setattr(ZeroDCE, "forward", forward)
    command = ["export", "zero-dce", "--photo", str(photo), "--size", str(SIDE), "-o"]
    assert main([*command, str(tmp_path / "m.onnx")]) == 2
    error = capsys.readouterr().err
    assert "zero-dce cannot be exported: torch.export cannot trace it" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deconv-small", "jude-small", "era-small", "lednet-small"])
def test_shipped_models_agree(name, photo, kernel, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    known = ["--kernel", str(kernel)] if name == "deconv-small" else []
    command = ["export", name, "--photo", str(photo), *known, "--size", str(SIDE), "--check", "-o"]
    assert main([*command, str(path)]) == 0
    print(capsys.readouterr().out)
