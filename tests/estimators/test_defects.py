"""When nothing is amiss with a photo."""

import pytest
import torch

import unfold
from unfold.estimators.defects import DARK, NOISY, is_good

POINT = torch.zeros(1, 1, 5, 5).index_put((*map(torch.tensor, (0, 0, 2, 2)),), torch.tensor(1.0))


def of(*values):
    return torch.tensor(values).view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ({}, [True]),
        ({"gain": of(1.0, DARK, DARK + 0.01)}, [True, True, False]),
        ({"gain": of(1.0, 1.0), "curve": of(1.0, 2.0)}, [True, False]),
        ({"grain": of(0.001, NOISY + 1e-4)}, [True, False]),
        ({"kernel": torch.cat([POINT, torch.full((1, 1, 5, 5), 0.04)])}, [True, False]),
        ({"gain": of(1.0, 2.0), "grain": of(0.001), "kernel": POINT}, [True, False]),
    ],
)
def test_each_fault_counts(found, good):
    assert is_good(found).flatten().tolist() == good


@pytest.mark.parametrize("name", ["jude-small", "deblur"])
def test_only_a_photo_with_a_fault_is_changed(name, monkeypatch):
    from unfold.estimators import defects

    model = unfold.create_model(name, pretrained=True).eval()
    image = torch.rand(2, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    good = torch.tensor([True, False]).view(2, 1, 1, 1)
    monkeypatch.setattr(defects, "is_good", lambda parts: good)
    with torch.no_grad():
        restored = model(image).image
        told = model(image, kernel=torch.ones(1, 1, 1, 1)).image
    assert torch.equal(restored[0], image[0])
    assert not torch.equal(restored[1], image[1])
    assert not torch.equal(told[0], image[0])  # whoever gives the kernel wants it used
