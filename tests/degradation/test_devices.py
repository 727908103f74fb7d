"""All built-in degradations on a batch where photos and parameters are on another device."""

import pytest
import torch
from elsewhere import THERE, elsewhere
from safetensors.torch import save_file

from unfold.degradation import JPEG
from unfold.degradation.counter import counted, philox
from unfold.degradation.libjpeg import through_jpeg
from unfold.degradation.rng import even, normal, together
from unfold.degradation.zero_dce import DarkeningCurve
from unfold.registry import scan
from unfold.registry.spec import resolve

NAMES = [
    c.name
    for c in scan().components
    if (c.group, c.distribution) == ("degradations", "unfold-imaging")
]
BATCH = 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "curve.safetensors"
    save_file(DarkeningCurve().state_dict(), path)
    return path


def case(name, weights):
    needed = {"weights": str(weights)} if name == "zero-dce-darkening" else {}
    made = resolve("degradations", {"kind": name, **needed}).build()
    frames = (13,) if made.frames else ()
    image = 1.2 * torch.rand(BATCH, *frames, 3, 40, 56)
    inputs = {key: torch.rand(BATCH, 1, 40, 56) for key in made.inputs}
    # Drawn photo by photo, as in training.
    drawn = together([made.sample(1, torch.Generator().manual_seed(i)) for i in range(BATCH)])
    return made, image, drawn, inputs


def moved(values, device):
    return {name: value.to(device) for name, value in values.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_elsewhere_is_the_batch_here(name, weights):
    made, image, drawn, inputs = case(name, weights)
    with counted():
        want = made.apply(image, drawn, **inputs)
        with elsewhere():
            there = image.to(THERE)
            for parameters in (drawn, moved(drawn, THERE)):
                got = made.apply(there, parameters, **moved(inputs, THERE))
                assert got.device == THERE
                torch.testing.assert_close(got.to("cpu"), want, rtol=0, atol=1e-6)
            kernel = made.kernel(moved(drawn, THERE))
            if kernel is not None:
                assert kernel.device == THERE
                kernel = kernel.to("cpu")
        if kernel is not None:
            torch.testing.assert_close(kernel, made.kernel(drawn))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_on_cuda_is_the_batch_here(name, weights):
    made, image, drawn, inputs = case(name, weights)
    with counted():
        want = made.apply(image, drawn, **inputs)
        got = made.apply(image.cuda(), moved(drawn, "cuda"), **moved(inputs, "cuda"))
    assert got.device.type == "cuda"
    # (A value on a threshold may fall on either side of it.)
    assert ((got.cpu() - want).abs() > 1e-5).double().mean() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_counted_photos_do_not_depend_on_their_batch(name, weights):
    made, image, drawn, inputs = case(name, weights)
    with counted():
        whole = made.apply(image, drawn, **inputs)
        for i in range(BATCH):
            rows = ({k: v[i : i + 1] for k, v in given.items()} for given in (drawn, inputs))
            one, more = rows
            alone = made.apply(image[i : i + 1], one, **more)
            torch.testing.assert_close(whole[i : i + 1], alone, rtol=0, atol=1e-5)


def test_elsewhere_refuses_tensors_of_here():
    with elsewhere():
        there = torch.rand(3).to(THERE)
        with pytest.raises(RuntimeError, match="is on the CPU"):
            there + torch.rand(3)
        assert (there + 1).sum().item() == pytest.approx(there.to("cpu").sum().item() + 3)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [0xFFFFFFFF] * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_its_authors_known_answers(counter, key, words):
    seed = key[0] | key[1] << 32
    seed = torch.tensor(seed - 2**64 if seed >= 2**63 else seed)
    assert [int(word) for word in philox([torch.tensor(c) for c in counter], seed)] == words


def test_counted_numbers_have_their_distributions():
    stats = pytest.importorskip("scipy.stats")
    seed = torch.tensor([5, 2**61 + 3])
    with counted():
        bell, flat = normal(seed, 3, 100, 101), even(seed, 3, 100, 101)
        assert bell.shape == flat.shape == (2, 3, 100, 101)
        assert torch.equal(bell[1:], normal(seed[1:], 3, 100, 101))
        assert normal(seed, 3, dtype=torch.float64).dtype == torch.float64
    assert flat.min() >= 0
    assert flat.max() < 1
    for rows, wanted in ((bell, "norm"), (flat, "uniform")):
        assert stats.kstest(rows[0].flatten(), wanted).pvalue > 0.01
        one, two = rows.flatten(1)
        for pair in ((one[1:], one[:-1]), (one, two)):
            assert abs(torch.corrcoef(torch.stack(pair))[0, 1]) < 4 / 30300**0.5


def test_outside_numbers_are_torchs():
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(normal(torch.tensor([7]), 4, 5)[0], torch.randn(4, 5, generator=generator))
    generator.manual_seed(7)
    assert torch.equal(even(torch.tensor([7]), 4, 5)[0], torch.rand(4, 5, generator=generator))


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 9), (2, 1), (4, 4), (5, 5), (17, 23), (24, 32), (75, 101)]
)
def test_jpeg_as_tensors_is_libjpegs_to_the_bit(size):
    data = pytest.importorskip("skimage.data")
    height, width = size
    photos = [
        torch.from_numpy(make().copy()) for make in (data.astronaut, data.chelsea, data.coffee)
    ]
    photos = [photo[40 : 40 + height, 100 : 100 + width].permute(2, 0, 1) for photo in photos]
    samples = torch.stack([*photos, torch.randint(256, (3, *size), dtype=torch.uint8)])
    for first in (1, 20, 48, 60, 85, 97):
        quality = torch.arange(first, first + 4)
        want = JPEG().apply(samples.double() / 255, {"quality": quality})  # by Pillow
        got = through_jpeg(samples, quality)
        assert torch.equal(got, (255 * want).round().byte())
