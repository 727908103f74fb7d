"""What `unfold bench` measures of whatever is installed, at three sizes, as benchmarks.

All of it takes long: choose with ``-k``, as in ``-k "256x256 and (terms or stages)"``.
"""

import pytest

from unfold.benchmarking import Size, SkippedError, cases

SIZES = [Size(256, 256), Size(512, 512), Size(720, 1280)]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=pytest.mark.benchmark(group=case.group))
        for case in cases(sizes=SIZES)
    ],
)
def test_case(case, device, compare):
    if case.host and device.type != "cpu":
        pytest.skip("needs no GPU")
    try:
        pair = case.prepare(device)
    except SkippedError as reason:
        pytest.skip(str(reason))
    compare(pair, case, device)
