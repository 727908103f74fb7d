"""Every row is a ratio: ours against a stated bound or baseline, taken in turns in one run."""

import statistics
import time

import pytest
import torch

_ROWS = []


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    return torch.device(request.param)


@pytest.fixture
def against(benchmark, request):
    """``against(ours, baseline, label)``: times both in turns; the ratio is that of the medians."""

    def run(ours, baseline, label, rounds=30):
        took = []

        def timed_baseline():
            begin = time.perf_counter()
            baseline()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            took.append(time.perf_counter() - begin)

        def timed_ours():
            ours()
            if torch.cuda.is_available():
                torch.cuda.synchronize()

        with torch.inference_mode():
            timed_ours()
            benchmark.pedantic(timed_ours, setup=timed_baseline, rounds=rounds, warmup_rounds=2)
        ours_median = statistics.median(benchmark.stats.stats.data)
        baseline_median = statistics.median(took[2:])
        benchmark.extra_info["against"] = label
        benchmark.extra_info["ratio"] = ours_median / baseline_median
        _ROWS.append((request.node.name, label, ours_median, ours_median / baseline_median))

    return run


def pytest_terminal_summary(terminalreporter):
    if not _ROWS:
        return
    width = max(len(row[0]) for row in _ROWS)
    threads = torch.get_num_threads()
    terminalreporter.section(f"ratios (torch {torch.__version__}, {threads} CPU threads)")
    for name, label, seconds, ratio in _ROWS:
        terminalreporter.write_line(
            f"{name:<{width}}  {1e3 * seconds:>9.2f} ms  {ratio:>6.2f} × {label}"
        )
