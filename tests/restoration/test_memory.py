"""What memory there is, and what a computation takes."""

import sys

import pytest
import torch

from unfold.restoration.device import LiveBytes, default_budget, free, parse_bytes, used

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2**31),
        ("2gib", 2**31),
        ("1.5g", 1_500_000_000),
        ("800 MB", 800_000_000),
        ("4Ki", 4096),
        ("12345", 12345),
    ],
)
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "two", "-1GiB", "0", "2GiBs", "1e9", "2 G B"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="write it as 2GiB"):
        parse_bytes(text)


def test_live_bytes_are_those_alive_at_once():
    x = torch.ones(1000)  # not counted: it was there before
    with LiveBytes() as counted:
        a, b = x + 1, x * 2  # 8000
        c = a.view(10, 100)  # a view is no memory of its own
        c.mul_(2)  # nor is what is changed in place
    assert counted.peak == 8000
    with LiveBytes() as counted:
        large = [torch.cat([x] * 5) for _ in range(2)]  # 40000
        del large
        kept = [x + i for i in range(3)]  # 12000, one more tensor than was forgotten
    assert counted.peak == 40000
    assert len(kept) == 3
    del b


def test_what_is_used_grows_with_what_is_made():
    before = used(CPU)
    x = torch.ones(32 << 20)
    grown = used(CPU) - before
    assert grown == pytest.approx(x.numel() * 4, rel=0.05)
    resource = pytest.importorskip("resource", reason="Windows has none")
    unit = 1 if sys.platform == "darwin" else 1024
    most = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert used(CPU) <= most + (16 << 20), "what is held, not what is reserved"


def test_the_default_budget_is_what_is_used_and_most_of_what_is_free():
    assert free(CPU) > 0
    assert used(CPU) < default_budget(CPU) < used(CPU) + free(CPU) + (64 << 20)
