"""Coarse-to-fine optimization: each level starts from the result of the coarser one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from torch import Tensor
from torch.nn.functional import interpolate

from unfold.errors import InputError

from .state import State

Run = Callable[[State], Mapping[str, Tensor]]


def coarse_to_fine(
    run: Run,
    state: Mapping[str, Tensor],
    scales: Sequence[float],
    *,
    kernels: Collection[str] = (),
) -> State:
    """Run stages at a sequence of scales, and pass on the entries that they changed.

    At each level, an entry that the previous run replaced (a block) is resized from that level.
    All other entries (observations and, at the first level, all entries) are resized from the given
    state. Entries that a run adds (duals that start at zero) are not passed on; to keep them, add
    zeros to the given state. Alternating minimization of a nonconvex problem, such as blind
    deconvolution, then finds large structures before small ones.

    Args:
        run: state -> state: an `Unrolled`, or a function that runs several.
        state: entries at full size. Images ``(B, C, H, W)`` are resized by bicubic interpolation
            (with a low-pass filter for smaller sizes), to at least one pixel. An entry with one
            row and one column contains numbers, and is not changed.
        scales: height and width at each level relative to full size, in (0, 1], in order.
        kernels: names of entries that are kernels, of odd sizes. Their sum of one and their center
            are preserved, and their sizes are odd and at least 3.

    Returns:
        The state of the last level.

    Raises:
        InputError: if there is no level, a scale is not in (0, 1], or a kernel has an even size.

    Source: Cho and Lee, "Fast motion deblurring", SIGGRAPH Asia 2009, section 3.

    Example:
        >>> import torch
        >>> from unfold.core.pyramid import coarse_to_fine
        >>> def blend(state):
        ...     return state.replace("I", (state["I"] + state["X"]) / 2)
        >>> state = {"X": torch.ones(1, 1, 8, 8), "I": torch.zeros(1, 1, 8, 8)}
        >>> coarse_to_fine(blend, state, (0.5, 1.0))["I"].mean()
        tensor(0.7500)
    """
    if not scales or not all(0 < scale <= 1 for scale in scales):
        raise InputError(f"scales must be numbers in (0, 1], at least one, got {tuple(scales)}")
    for name in kernels:
        if not all(side % 2 for side in state[name].shape[-2:]):
            raise InputError(
                f"the kernel {name!r} has shape {tuple(state[name].shape)}: its sides must be odd, "
                "so that its center does not move"
            )
    begin, now = dict(state), State(state)
    for scale in scales:
        begin = {
            name: _at(scale, full, full if now[name] is begin[name] else now[name], name in kernels)
            for name, full in state.items()
        }
        now = State(run(State(begin)))
    return now


def _at(scale: float, full: Tensor, source: Tensor, kernel: bool) -> Tensor:
    """An entry at a level, resized from the source; the full entry determines its size."""
    rows, columns = full.shape[-2:]
    if kernel:
        return resize_kernel(source, (_odd(rows * scale), _odd(columns * scale)))
    size = max(1, round(rows * scale)), max(1, round(columns * scale))
    if source.shape[-2:] == size:
        return source.clone()
    return interpolate(source, size, mode="bicubic", antialias=True)


def resize_kernel(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """A kernel ``(B, C, h, w)`` resized: nonnegative, with sum 1; odd sizes remain centered."""
    if kernel.shape[-2:] == size:
        return kernel.clone()
    resized = interpolate(kernel, size, mode="bicubic", antialias=True).clamp_min(0)
    return resized / resized.sum((-2, -1), keepdim=True)


def _odd(side: float) -> int:
    return max(3, round(side) | 1)
