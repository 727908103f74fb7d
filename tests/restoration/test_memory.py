"""What memory there is, and what a computation takes."""

import pytest
import torch

from unfold.restoration.memory import LiveBytes, default_budget, free, parse_bytes, used

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
        a = x + 1  # 4000
        b = a.view(10, 100) * 2  # 8000; a view is no memory of its own
        del a  # 4000
        c = b + 1  # 8000
        c.mul_(2)
        del b, c
        d = torch.cat((x, x, x))  # 12000
    assert counted.peak == 12000
    assert d.shape == (3000,)


def test_what_is_used_grows_with_what_is_made():
    before = used(CPU)
    x = torch.ones(32 << 20)
    grown = used(CPU) - before
    assert grown == pytest.approx(x.numel() * 4, rel=0.05)


def test_the_default_budget_is_what_is_used_and_most_of_what_is_free():
    assert 0 < free(CPU)
    assert used(CPU) < default_budget(CPU) < used(CPU) + free(CPU) + (64 << 20)
