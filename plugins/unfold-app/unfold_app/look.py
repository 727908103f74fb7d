"""Restoration of a photo with small images of its stages, with little memory and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unfold.core import History, Lagrangian, State
from unfold.restoration.trust import is_declared, part_of, with_trust
from unfold.restorer import Restoration, Restorer, Trust
from unfold.trace import Trace

_SIDE = 420  # largest side, in pixels, of the image of a state


def look(
    model: Restorer, image: Tensor, *, kernel: Tensor | None = None, trust: bool = False
) -> tuple[Tensor, Trace]:
    """Restore a photo; returns the result, and its stages and parts as small images.

    Unlike `unfold.trace.trace`, this does not compute residuals, which takes several times as long
    as the restoration, and keeps no states of full size. For a cascade no stages are kept.

    Args:
        model: in eval mode, on the device of the photo.
        image: ``(1, 3, H, W)`` in [0, 1].
        kernel: the kernel of the blur, if it is known, ``(1, 1, h, w)``.
        trust: whether the reliability of the result is estimated, which takes one more
            restoration. It is not estimated for a model that is not unrolled.

    Returns:
        The restored photo ``(3, H, W)``, float32 on the CPU; and the trace.
    """
    with torch.inference_mode():
        size = image.shape[-2:]
        scale = max(1.0, max(size) / _SIDE)
        states = _States(size, scale) if len(model.sequence()) == 1 else None
        run = partial(with_trust, model) if trust and is_declared(model) else model
        restored = run(image, kernel=kernel, history=states)
        parts = {
            name: _small(part, scale) if part.shape[-2:] == size else part.cpu()
            for name, part in restored.parts.items()
        }
        top, left = (int(place / scale) for place in restored.origin)
        maps = restored.trust and _small_trust(restored.trust, scale)
        small = _small(restored.image, scale)
        shown = Restoration(small, parts, origin=(top, left), trust=maps)
        trace = Trace(_small(image, scale), shown, states or History(), model.explain())
        return restored.image[0].float().cpu(), trace


class _States(History):
    """A history that keeps only the states, at a small size."""

    def __init__(self, size: torch.Size, scale: float) -> None:
        super().__init__()
        self._size, self._scale = size, scale

    def record(
        self,
        lagrangian: Lagrangian,
        steps: Iterable,
        state: State,
        weights: Mapping[str, Tensor | float],
    ) -> State:
        if not self.states:
            self._keep_small(state)
        for step in steps:
            state = step(state, weights)
        self._keep_small(state)
        return state

    def _keep_small(self, state: State) -> None:
        # (Entries that are not maps of the photo, such as a kernel, keep their size.)
        self.states.append(
            {
                name: x.cpu() if x[0, 0].numel() < self._size.numel() else _small(x, self._scale)
                for name, x in state.items()
            }
        )


def _small_trust(trust: Trust, scale: float) -> Trust:
    return replace(
        part_of(trust, 0),
        measured=_small(trust.measured, scale),
        deviation=_small(trust.deviation, scale),
        reblur=None if trust.reblur is None else _small(trust.reblur, scale),
    )


def _small(x: Tensor, scale: float) -> Tensor:
    """A map at the size at which it is shown, on the CPU."""
    smaller = [max(1, int(side / scale)) for side in x.shape[-2:]]
    return interpolate(x.float(), smaller, mode="area").cpu()
