import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut, coffee
from skimage.metrics import structural_similarity

from unfold.evaluation import Crop, Measure, Protocol, ProtocolError, find_protocol
from unfold.evaluation.protocols import PROTOCOLS
from unfold.metrics import SSIM
from unfold.registry.spec import resolve

PLAIN = Protocol("plain", 1, "these tests", (Measure("psnr"),))


def photo(make=coffee):
    return torch.tensor(make()).permute(2, 0, 1)[None].float() / 255


def with_(**changes):
    return dataclasses.replace(PLAIN, **changes)


def test_crops_are_cut_where_they_are_anchored():
    x = photo()  # 400×600
    assert torch.equal(with_(crop=Crop(100, 200)).before(x), x[..., 150:250, 200:400])
    assert torch.equal(with_(crop=Crop(100, 200, "top-left")).before(x), x[..., :100, :200])
    with pytest.raises(ValueError, match=r"is 600×400 pixels, smaller than the protocol's 700×10"):
        with_(crop=Crop(10, 700)).before(x)


def test_judes_crop_of_a_lol_blur_frame():
    """The top left, as in its released test code."""
    protocol = find_protocol("jude")
    assert protocol.version == 2  # version 1 cropped the center
    frame = torch.rand(1, 3, 640, 1120)
    assert torch.equal(protocol.before(frame), frame[..., :1024])
    tall = torch.rand(1, 3, 700, 1024)
    assert torch.equal(protocol.before(tall), tall[..., :640, :])


def test_input_bits_drop_the_lower_half_of_a_sample():
    samples = torch.tensor([0, 255, 256, 511, 65279, 65280, 65535])
    image = (samples / 65535).expand(1, 3, 1, -1)
    seen = with_(input_bits=8).before(image) * 255
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([0, 0, 1, 1, 254, 255, 255.0]))
    every = (torch.arange(256) / 255).expand(1, 3, 1, -1)  # those of 8-bit files stay
    torch.testing.assert_close(with_(input_bits=8).before(every), every)


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_restored_pictures_are_rounded_as_a_file_would(bits, kind):
    x = 1.4 * torch.rand(1, 3, 20, 20, dtype=torch.float64) - 0.2
    top = np.iinfo(kind).max
    stored = np.rint(np.clip(x.numpy(), 0, 1) * top).astype(kind)
    got = with_(bits=bits).after(x)
    np.testing.assert_allclose(got.numpy(), stored / top, atol=1e-12)
    assert torch.equal(with_(bits=None).after(x), x.clamp(0, 1))


def test_resizing_is_pillows_bicubic():
    x = photo(astronaut)
    seen = with_(resize=(128, 200)).before(x)[0].numpy()
    for ours, channel in zip(seen, x[0].numpy(), strict=True):
        theirs = np.asarray(Image.fromarray(channel).resize((200, 128), Image.BICUBIC))
        np.testing.assert_allclose(ours, theirs.clip(0, 1), atol=1e-5)


def test_borders_are_cut_on_all_sides():
    x = photo()
    assert torch.equal(with_(border=4).inner(x), x[..., 4:-4, 4:-4])
    assert torch.equal(PLAIN.inner(x), x)
    with pytest.raises(ValueError, match="nothing is left within the protocol's border of 4"):
        with_(border=4).inner(x[..., :8])


def test_ssim_on_pooled_pictures_and_on_the_luma_is_scikit_images():
    x = photo().double()
    y = (x + 0.1 * torch.randn(x.shape, dtype=torch.float64)).clamp(0, 1)
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1}
    jude = find_protocol("jude").measures[1]
    pooled = [t[0].numpy().reshape(3, 200, 2, 300, 2).mean((2, 4)) for t in (x, y)]
    want = structural_similarity(*pooled, channel_axis=0, **options)
    assert SSIM()(jude.prepare(x), jude.prepare(y)).item() == pytest.approx(want, abs=1e-7)
    lednet = find_protocol("lednet").measures[1]
    lumas = [np.tensordot([0.299, 0.587, 0.114], t[0].numpy(), 1) for t in (x, y)]
    want = structural_similarity(*lumas, **options)
    assert SSIM()(lednet.prepare(x), lednet.prepare(y)).item() == pytest.approx(want, abs=1e-7)


def test_the_dpdd_ssim_is_scikit_images_default():
    x = photo().double()
    y = (x + 0.1 * torch.randn(x.shape, dtype=torch.float64)).clamp(0, 1)
    ssim = {m.metric: m for m in find_protocol("dpdd").measures}["ssim"]
    metric = resolve("metrics", {"kind": "ssim", **ssim.options}).build()
    want = structural_similarity(x[0].numpy(), y[0].numpy(), channel_axis=0, data_range=1)
    assert metric(x, y).item() == pytest.approx(want, abs=1e-7)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_protocols_are_immutable_complete_and_json(protocol):
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.version = 2
    with pytest.raises(TypeError):
        protocol.measures[0].options["net"] = "vgg"
    for measure in protocol.measures:  # every option fits its metric
        resolve("metrics", {"kind": measure.metric, **measure.options})
    facts = json.loads(json.dumps(protocol.facts()))
    assert facts["name"] == protocol.name
    assert facts["crop"] == (dataclasses.asdict(protocol.crop) if protocol.crop else None)
    assert [m["metric"] for m in facts["measures"]] == [m.metric for m in protocol.measures]
    assert protocol.notes


def test_jude_and_lednet_measure_different_things():
    jude, lednet = (find_protocol(name).facts() for name in ("jude", "lednet"))
    assert all(jude[key] != lednet[key] for key in ("crop", "measures"))
    assert any("Not comparable" in note for note in jude["notes"])


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ProtocolError, match="did you mean lednet") as caught:
        find_protocol("ledent")
    assert all(name in str(caught.value) for name in PROTOCOLS)
