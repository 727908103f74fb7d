"""What the unrolled models share when they put their stages together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from unfold.core import (
    CG,
    Lagrangian,
    LearnedWeights,
    Ledger,
    Restoration,
    Restorer,
    Stage,
    State,
    Step,
    Unrolled,
    lower,
)
from unfold.imaging.boundary import MULTIPLE, Frame, pad_periodic

from .checks import check_image, check_kernel


def unroll(
    lagrangian: Callable[[int], Lagrangian],
    order: Sequence[str],
    weights: Mapping[str, float],
    *,
    K: int,
    tied: bool,
    cg: CG | None = None,
    before: Mapping[str, Step] | None = None,
) -> Unrolled:
    """K stages of a declaration, each with priors and weights of its own unless tied.

    Args:
        lagrangian: declares that of stage 0, 1, ..., with new priors at each call.
        order: of the updates.
        weights: name -> first value of a learned weight.
        K: stages.
        tied: one stage, K times.
        cg: for blocks with a mixed normal matrix.
        before: block -> a hand-written step to insert before its update.
    """

    def stage(index: int) -> Stage:
        steps: list[Step] = []
        for name, step in zip(order, lower(lagrangian(index), order, cg), strict=True):
            steps += [before[name], step] if before and name in before else [step]
        return Stage(steps, LearnedWeights(weights))

    return Unrolled(stage(0), repeat=K) if tied else Unrolled([stage(k) for k in range(K)])


def describe(model: Restorer, parts: Sequence[str], order: Sequence[str], output: str) -> str:
    """What an unrolled model does: its size, its Lagrangian, its steps, its output."""
    stages: Unrolled = model.stages  # type: ignore[assignment]
    stage: Stage = stages.stages[0]  # type: ignore[assignment]
    many = f"one, {stages.repeat} times" if stages.repeat > 1 else f"{len(stages.stages)}, untied"
    sizes = [f"{name} {count(getattr(model, name)):,}" for name in parts]
    lines = [
        f"{type(model).__name__}: {count(model):,} parameters"
        + (f" ({', '.join(sizes)})" * bool(sizes)),
        f"stages: {many}",
        f"steps of a stage: {', '.join(map(repr, stage.steps))}",
        "",
        stage.lagrangian.explain(tuple(order)),
        "",
        output,
    ]
    return "\n".join(lines)


def prepare(
    image: Tensor, kernel: Tensor | None, size: int, least: int = 0
) -> tuple[Tensor, Frame]:
    """Check the input; make the photo periodic, with a margin as wide as the kernel reaches.

    Args:
        image: the photo.
        kernel: where it is known.
        size: side of the kernel where it is not.
        least: least margin, in pixels.
    """
    check_image(image)
    height = width = size
    if kernel is not None:
        check_kernel(kernel, len(image))
        height, width = kernel.shape[-2:]
    margin = max(least, height // 2), max(least, width // 2)
    return pad_periodic(image, margin, multiple=MULTIPLE)


class Extending(Restorer):
    """A restorer of photos that `prepare` makes periodic.

    Attributes:
        least_margin: around the photo, in pixels, however small the kernel is.
    """

    least_margin: ClassVar[int] = 0

    @property
    def kernel_size(self) -> int:
        """Side of the kernel where none is given."""
        return 1

    def prepare(self, image: Tensor, kernel: Tensor | None) -> tuple[Tensor, Frame]:
        """The photo made periodic, and where it lies in that."""
        return prepare(image, kernel, self.kernel_size, self.least_margin)

    def extended(
        self, image: Tensor, *, kernel: Tensor | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        x, frame = self.prepare(image, kernel)
        return x, (frame.top, frame.left)


class Deconvolving(Extending):
    """`Extending`, for stages over I, the deconvolved photo, and Z, the image; a photo without a
    kernel is taken for sharp.

    ``stages`` go from a state of X, I, Z (the photo), H and the ``noise`` that `survey` tells.
    """

    stages: Unrolled

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        x, frame = self.prepare(image, kernel)
        used = image.new_ones(1, 1, 1, 1) if kernel is None else kernel.to(x)
        noise = (guide or self.survey(image))["noise"]
        state = State({**dict.fromkeys("XIZ", x), "H": used, "noise": noise})
        state = self.stages(state, ledger)
        parts = {"kernel": used, "I": frame.crop(state["I"]), "noise": noise}
        return Restoration(frame.crop(state["Z"]).clamp(0, 1), parts, ledger)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in module.parameters())
