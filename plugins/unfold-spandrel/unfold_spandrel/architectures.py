"""unfold's models as architectures of spandrel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from spandrel import Architecture, ImageModelDescriptor, ModelTiling, StateDict
from torch import Tensor, nn

import unfold
from unfold.estimators.noise import estimate_noise
from unfold.priors.denoiser import Denoiser
from unfold.registry import ComponentError
from unfold.registry.spec import resolve
from unfold.restorer import Restorer

from .layout import Layout, layout_of


class OneLayout(Architecture[nn.Module]):
    """A network for the state dicts of one layout: all names and shapes must be equal.

    Args:
        id: id in spandrel's registry.
        layout: layout of the state dicts.
    """

    def __init__(self, id: str, layout: Layout) -> None:
        super().__init__(id=id, detect=lambda state: layout_of(state) == layout)
        self.layout = layout

    @abstractmethod
    def build(self) -> nn.Module:
        """The network, with arbitrary weights."""

    @staticmethod
    @abstractmethod
    def restored(model: Any, image: Tensor) -> Tensor:
        """The result for an image ``(1, C, H, W)`` in [0, 1]."""

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[nn.Module]:
        """The network with these weights.

        Raises:
            ComponentError: if a plugin is missing, or the model needs a kernel, which programs do
                not pass to spandrel.
        """
        return ImageModelDescriptor(
            self.build(), state_dict, self, "Restoration", [],
            supports_half=False, supports_bfloat16=False, scale=1, input_channels=3,
            output_channels=3, tiling=ModelTiling.INTERNAL, call_fn=self.restored,
        )  # fmt: skip


class ModelArchitecture(OneLayout):
    """A restoration model.

    Args:
        id: id in spandrel's registry.
        layout: layout of its state dict.
        config: config of the model, as for `unfold.create_model`.
    """

    def __init__(self, id: str, layout: Layout, config: Mapping[str, Any]) -> None:
        super().__init__(id, layout)
        self.config = dict(config)

    def build(self) -> Restorer:
        model = resolve("models", self.config).build()
        if model.needs_kernel:
            raise ComponentError(
                f"{self.id} needs a blur's kernel, but programs pass only an image to spandrel: "
                "train it with kernel_estimator='blind', or restore with unfold itself"
            )
        return model.eval()

    @staticmethod
    def restored(model: Restorer, image: Tensor) -> Tensor:
        return unfold.restore(image, model=model, device=image.device)


class DenoiserArchitecture(OneLayout):
    """The prior `denoiser`, given the estimated noise of the image."""

    def build(self) -> Denoiser:
        return Denoiser(pretrained=False).eval()

    @staticmethod
    def restored(model: Denoiser, image: Tensor) -> Tensor:
        return model(image, estimate_noise(image).to(image) ** 2)
