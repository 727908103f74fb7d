"""Every row is a ratio: ours against a stated bound or baseline, taken in turns in one run."""

import time

import pytest
import torch

from unfold.benchmarking import Case, PairedRun
from unfold.benchmarking.report import machine, text
from unfold.benchmarking.row import BenchmarkRow, call_memory
from unfold.benchmarking.timing import summarize
from unfold.models.fast import synchronize

_ROWS = []


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    return torch.device(request.param)


@pytest.fixture
def compare(benchmark):
    """``compare(pair, case, device, rounds)``: times both in turns; the ratio is that of the least
    of the rounds. Memory is measured in calls of their own."""

    def run(pair, case, device, rounds=None):
        took = []

        def timed(call):
            synchronize(device)
            begin = time.perf_counter()
            call()
            synchronize(device)
            return time.perf_counter() - begin

        memory = [call_memory(call, pair, case, device) for call in (pair.run, pair.baseline)]
        with torch.inference_mode():
            both = timed(pair.run) + timed(pair.baseline)
            rounds = rounds or max(1, min(30, int(2 / both)))
            benchmark.pedantic(
                lambda: timed(pair.run),
                setup=lambda: took.append(timed(pair.baseline)),
                rounds=rounds,
            )
        samples = list(zip(benchmark.stats.stats.data, took, strict=True))
        times = summarize(samples, pair.share)
        row = BenchmarkRow(
            case.group, case.name, str(case.size or ""), case.provider, str(device),
            seconds=times.seconds, bound_seconds=times.bound, ratio=times.ratio,
            against=pair.against, rounds=rounds, memory=memory[0], baseline_memory=memory[1],
        )  # fmt: skip
        benchmark.extra_info |= {
            "against": row.against, "ratio": row.ratio,
            "memory": row.memory, "baseline_memory": row.baseline_memory,
        }  # fmt: skip
        _ROWS.append(row)
        return row

    return run


@pytest.fixture
def against(compare, benchmark, request):
    """``against(ours, baseline, label)``, for what is no `Case`."""

    def run(ours, baseline, label, rounds=None, **kind):
        pair = PairedRun(ours, baseline, label, **kind)
        name = request.node.name.removeprefix("test_")
        case = Case(benchmark.group or request.path.stem[5:], name, None, lambda _: pair)
        device = request.getfixturevalue("device") if "device" in request.fixturenames else "cpu"
        return compare(pair, case, torch.device(device), rounds)

    return run


def pytest_terminal_summary(terminalreporter):
    if not _ROWS:
        return
    terminalreporter.section("ratios and memory")
    for name in dict.fromkeys(row.device for row in _ROWS):
        rows = [row for row in _ROWS if row.device == name]
        terminalreporter.write_line(text(rows, machine(torch.device(name))))
