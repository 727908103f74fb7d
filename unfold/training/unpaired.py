"""Unpaired training: two generators and a discriminator learn from photos without pairs."""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call

from unfold.losses import lsgan
from unfold.restorer import Restorer

from .task import Batch, Task

_MADE = "made of the input"


class Generators(Task):
    """G restores degraded photos, G⁻¹ degrades sharp photos, and D classifies the output of G.

    With degraded photos a and sharp ones b, of other scenes, it minimizes::

        w_adversarial · mean (D(G(a)) − 1)²  +  w_cycle · mean |a − G⁻¹(G(a))|
        + w_identity · (mean |b − G(b)| + mean |a − G⁻¹(a)|)

    Args:
        model: G, the model that is saved.
        backward: G⁻¹.
        discriminator: D, which is fixed in this task and not part of it.
        adversarial, cycle, identity: weights of the losses.

    Source: DEvUDP, with weights 1, 10 and 5 of distances on [−1, 1]. Here all pictures are in
    [0, 1] and distances half as large: the recipe ``devudp`` has 1, 20 and 10.
    """

    def __init__(
        self,
        model: Restorer,
        backward: Restorer,
        discriminator: nn.Module,
        *,
        adversarial: float,
        cycle: float,
        identity: float,
    ) -> None:
        super().__init__()
        self.model, self.backwards = model, backward
        self._fixed = (discriminator,)  # in a tuple: else it would be a part, and learn
        self.weights = adversarial, cycle, identity

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        bad, good = batch["input"], batch["target"]
        made = self.model(bad).image
        batch[_MADE] = made.detach()
        (discriminator,) = self._fixed
        fixed = {name: p.detach() for name, p in discriminator.named_parameters()}
        scores = functional_call(discriminator, fixed, (made,))
        adversarial, cycle, identity = self.weights
        return {
            "adversarial": adversarial * lsgan(scores, real=True),
            "cycle": cycle * _distance(self.backwards(made.clamp(0, 1)).image, bad),
            "identity_target": identity * _distance(self.model(good).image, good),
            "identity_input": identity * _distance(self.backwards(bad).image, bad),
        }


class Discriminator(Task):
    """D learns to distinguish sharp photos b from outputs of G.

    It minimizes ``½ (mean (D(b) − 1)² + mean D²)``.

    Args:
        discriminator: ``(B, 3, H, W)`` -> scores of any shape.
    """

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        real = lsgan(self.discriminator(batch["target"]), real=True)
        fake = lsgan(self.discriminator(batch[_MADE]), real=False)
        return {"discriminator": 0.5 * (real + fake)}


def _distance(made: Tensor, wanted: Tensor) -> Tensor:
    return (made - wanted).abs().mean()
