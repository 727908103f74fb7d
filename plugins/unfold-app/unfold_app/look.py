"""A photo restored while its stages are watched, in little memory and little more time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unfold.core import Lagrangian, Ledger, Restoration, Restorer, State
from unfold.trace import Trace

_SIDE = 420  # pixels: of what is shown of a state


def look(model: Restorer, image: Tensor, *, kernel: Tensor | None = None) -> tuple[Tensor, Trace]:
    """Restore a photo; the result, and the stages and parts as small pictures.

    Unlike `unfold.trace.trace` this measures no residuals, which takes several times as long as
    the restoration, and keeps no large states. Of models in a row no stages are kept.

    Args:
        model: on the device of the photo, in eval mode.
        image: ``(1, 3, H, W)`` in [0, 1].
        kernel: of the blur, where it is known, ``(1, 1, h, w)``.

    Returns:
        The restored photo ``(3, H, W)``, float32 on the CPU; the trace.
    """
    with torch.inference_mode():
        size = image.shape[-2:]
        _, origin = model.extended(image, kernel=kernel)
        states = _States(size, origin) if len(model.successive()) == 1 else None
        restored = model(image, kernel=kernel, ledger=states)
        parts = {
            name: _small(part, size) if part.shape[-2:] == size else part.cpu()
            for name, part in restored.parts.items()
        }
        shown = Restoration(_small(restored.image, size), parts)
        explanation = model.explain()
        trace = Trace(_small(image, size), shown, states or Ledger(), explanation, (0, 0))
        return restored.image[0].float().cpu(), trace


class _States(Ledger):
    """The states alone, cut to the photo, which begins at ``origin`` in them, and small."""

    def __init__(self, size: torch.Size, origin: tuple[int, int]) -> None:
        super().__init__()
        self._size, self._origin = size, origin

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
        self.states.append({n: _small(x, self._size, self._origin) for n, x in state.items()})


def _small(x: Tensor, size: torch.Size, origin: tuple[int, int] = (0, 0)) -> Tensor:
    """What of a map belongs to the photo, as large as it is shown, on the CPU.

    What is no map of the photo, such as a kernel, stays as it is.
    """
    (top, left), (height, width) = origin, size
    if x.ndim != 4 or x.shape[-2] < top + height or x.shape[-1] < left + width:
        return x.cpu()
    inner = x[..., top : top + height, left : left + width].float()
    scale = max(1.0, max(size) / _SIDE)
    smaller = max(1, round(height / scale)), max(1, round(width / scale))
    return interpolate(inner, smaller, mode="area").cpu()
