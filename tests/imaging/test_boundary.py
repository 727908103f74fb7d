import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unfold.imaging.boundary import fast_length, pad_periodic


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    margin=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    multiple=st.sampled_from([1, 8]),
)
def test_the_picture_is_kept_and_the_size_is_fast(size, margin, multiple):
    x = torch.rand(2, 3, *size)
    padded, frame = pad_periodic(x, margin, multiple=multiple)
    assert torch.equal(frame.crop(padded), x)
    for side, old, reach in zip(padded.shape[-2:], size, margin, strict=True):
        before = -(-reach // multiple) * multiple
        assert side == fast_length(before + old + reach, multiple=multiple)
    assert frame.top >= margin[0]
    assert frame.left >= margin[1]
    assert padded.shape[-2] - frame.top - size[0] >= margin[0]
    assert padded.shape[-1] - frame.left - size[1] >= margin[1]
    assert frame.top % multiple == frame.left % multiple == 0
    assert padded.min() >= x.min()
    assert padded.max() <= x.max()


def test_no_jump_at_the_wrap():
    """A ramp: its two ends differ by 1, but no neighbors of the padded period by much."""
    x = torch.linspace(0, 1, 50).expand(1, 1, 40, 50)
    padded, _ = pad_periodic(x, (15, 15))
    wrapped = torch.cat((padded, padded[..., :1]), -1)
    assert wrapped.diff(dim=-1).abs().max() < 0.1
    assert padded.roll(1, -2).sub(padded).abs().max() < 1e-6


def test_the_border_is_reflected():
    x = torch.rand(1, 1, 30, 30)
    padded, frame = pad_periodic(x, (10, 10))
    just_above = padded[..., frame.top - 1, frame.left : frame.left + 30]
    torch.testing.assert_close(just_above, x[..., 0, :], rtol=0, atol=0.05)


@given(n=st.integers(1, 5000))
def test_fast_length_is_the_least(n):
    def smooth(m):
        for p in (2, 3, 5, 7):
            while m % p == 0:
                m //= p
        return m == 1

    found = fast_length(n)
    assert found >= n
    assert smooth(found)
    assert not any(smooth(m) for m in range(n, found))


def test_fast_length_of_a_multiple():
    assert [fast_length(n, multiple=8) for n in (1, 8, 9, 81, 721)] == [8, 8, 16, 96, 768]
    for n, multiple in itertools.product((1, 8, 9, 81, 721), (8, 16)):
        assert fast_length(n, multiple=multiple) % multiple == 0


@pytest.mark.parametrize("double", [False, True])
def test_dtype_is_kept(double):
    dtype = torch.float64 if double else torch.float32
    assert pad_periodic(torch.rand(1, 5, 6, dtype=dtype), (3, 3))[0].dtype == dtype
