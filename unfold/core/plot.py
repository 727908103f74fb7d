"""Plots of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from unfold.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .history import History

_LEAST = 1e-12  # replaces a residual of zero on the logarithmic axis


def plot(history: History) -> Figure:
    """Residuals, Lagrangian, penalties and time over the stages; see `History.plot`."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError(
            "curves are drawn by matplotlib: pip install 'unfold-imaging[look]'"
        ) from error
    if not history.entries:
        raise InputError("the history is empty: no stage has run with it")
    figure = Figure(figsize=(13, 7), layout="constrained")
    axes: Any = figure.subplots(2, 3).flatten()
    blocks = list(dict.fromkeys(entry.block for entry in history.entries))
    colors = {block: f"C{i % 10}" for i, block in enumerate(blocks)}
    for axis, name, title in (
        (axes[0], "primal", "primal residual (relative)"),
        (axes[1], "dual", "dual residual (relative)"),
    ):
        for block in blocks:
            found = [e for e in history.entries if e.block == block]
            values = [max(getattr(e, name).max().item(), _LEAST) for e in found]
            stages = [e.stage + 1 for e in found]
            axis.semilogy(stages, values, "o-", color=colors[block], label=block, markersize=3)
        axis.set_title(title)
    _lagrangian(axes[2], history)
    _penalties(axes[3], history.penalties)
    _seconds(axes[4], history, colors)
    for axis in axes[:5]:
        axis.set_xlabel("stage")
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[5].axis("off")
    axes[5].legend(*axes[0].get_legend_handles_labels(), title="block", loc="center", ncols=2)
    return figure


def _lagrangian(axis: Any, history: History) -> None:
    """After each update: those of a stage are drawn between its number and the next."""
    places: list[float] = []
    values: list[float] = []
    for stage in range(len(history.penalties)):
        entries = history.stage(stage)
        places += [stage + (i + 1) / len(entries) for i in range(len(entries))]
        values += [entry.lagrangian.sum().item() for entry in entries]
    axis.plot(places, values, ".-")
    axis.set_title("augmented Lagrangian, after each update")


def _penalties(axis: Any, penalties: Sequence[Mapping[str, Tensor | float]]) -> None:
    stages = range(1, len(penalties) + 1)
    for name in dict.fromkeys(name for stage in penalties for name in stage):
        values = [stage[name] if name in stage else float("nan") for stage in penalties]
        numbers = [v.float().mean().item() if isinstance(v, Tensor) else v for v in values]
        axis.semilogy(stages, numbers, "o-", markersize=3, label=name)
    axis.legend(fontsize="small")
    axis.set_title("penalties")


def _seconds(axis: Any, history: History, colors: Mapping[str, str]) -> None:
    stages = range(1, len(history.penalties) + 1)
    bottom = [0.0] * len(stages)
    for block, color in colors.items():
        found = {e.stage: 1e3 * e.seconds for e in history.entries if e.block == block}
        heights = [found.get(stage - 1, 0.0) for stage in stages]
        axis.bar(stages, heights, bottom=bottom, color=color)
        bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
    axis.set_title("milliseconds of each update")
