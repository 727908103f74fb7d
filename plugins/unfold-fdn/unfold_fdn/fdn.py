"""FDN: deconvolution with a known kernel by Fourier divisions with learned regularization."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn.functional import pad

from unfold.core import History
from unfold.core.clip import clip
from unfold.core.operators import image as from_spectrum
from unfold.core.operators import spectrum
from unfold.errors import InputError
from unfold.models.checks import check_inputs
from unfold.models.convert import load_converted
from unfold.models.parts import NoiseLike, make_noise, measure_noise
from unfold.restorer import Restoration, Restorer
from unfold.terms.blur import transfer_function

from .edgetaper import extend, odd
from .public import parameters_of, read_hdf5
from .stage import SIDE, Stage


def _in_order(given: tuple[float, float]) -> tuple[float, float]:
    if not given[0] < given[1]:
        raise InputError("the first must be less than the second")
    return given


Level = Annotated[float, Field(gt=0, le=255)]
Levels = Annotated[tuple[Level, Level], AfterValidator(_in_order)]


class FDN(Restorer):
    """FDN: non-blind deconvolution by Fourier divisions with learned regularization.

    Stage t computes ``x_t = F⁻¹[(λ conj(F k) F y + F φ(x_{t−1})) / (λ |F k|² + Σ |F f|²)]``. Each
    stage has its own filters f and network φ, and λ is a function of the noise. The photo is
    extended by half the kernel and tapered; from the second stage on, ``k ⊗ x_{t−1}`` replaces the
    pixels outside the photo. Color channels are restored independently, because φ is a network for
    gray images. 387,700 parameters. A ``history`` stays empty.

    Args:
        weights: a file that ``unfold convert fdn`` wrote; None: random.
        stages: number of stages; 10 in the release.
        levels: range of the standard deviations in the training of the weights, for 8-bit values:
            (0.1, 12.75) or (1, 3) in the release. The noise is clipped to it.
        noise: standard deviation of the photo's noise, if white is 1, or its estimator.

    Parts: ``noise`` (B,1,1,1), the given or estimated standard deviation; ``x_t`` (B,C,H,W),
    t = 1, 2, ...: the result of stage t.

    Raises:
        ComponentError: if weights cannot be read or belong to another network.

    Source: Kruse, Rother and Schmidt, "Learning to push the limits of efficient FFT-based image
    deconvolution", ICCV 2017.
    """

    needs_kernel = True
    channels = None

    def __init__(
        self,
        *,
        weights: Path | None = None,
        stages: Annotated[int, Field(ge=1, le=64)] = 10,
        levels: Levels = (0.1, 12.75),
        noise: NoiseLike = "noise",
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage() for _ in range(stages))
        self.levels = levels
        self.noise = make_noise(noise)
        if weights is not None:
            load_converted(self, weights, {"stages": stages, "levels": levels})
            self.requires_training = False

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        history: History | None = None,
        measurements: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        check_inputs(self, image, kernel)
        assert kernel is not None
        measurements = measurements or self.measure(image, kernel=kernel)
        kernel = odd(kernel.to(image), (image.shape[-2], image.shape[-1]), least=SIDE)
        estimates = self._stages(image, kernel, measurements["noise"])
        parts = {f"x_{t}": x for t, x in enumerate(estimates, 1)}
        return Restoration(clip(estimates[-1]), {"noise": measurements["noise"], **parts}, history)

    def _stages(self, photo: Tensor, kernel: Tensor, noise: Tensor) -> list[Tensor]:
        batch, channels = photo.shape[:2]
        kernel = kernel.expand(batch, -1, -1, -1).repeat_interleave(channels, 0)
        sigma = (255 * noise).clamp(*self.levels).expand(batch, 1, 1, 1)
        sigma = sigma.repeat_interleave(channels, 0).to(photo)
        rows, columns = (side // 2 for side in kernel.shape[-2:])
        photo = photo.reshape(-1, 1, *photo.shape[-2:])
        y = x = extend(photo, kernel)
        otf = transfer_function(kernel, (y.shape[-2], y.shape[-1]))
        inside = pad(photo.new_ones(photo.shape[-2:]), (columns, columns, rows, rows))
        found = []
        for t, stage in enumerate(self.stages):
            if t > 0:
                beyond = from_spectrum(otf * spectrum(x), x.shape)
                y = inside * y + (1 - inside) * beyond
            x = stage(x, y, kernel, sigma)
            inner = x[..., rows : x.shape[-2] - rows, columns : x.shape[-1] - columns]
            found.append(inner.reshape(batch, channels, *inner.shape[-2:]))
        return found

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        return measure_noise(self.noise, image)

    def explain(self) -> str:
        count = sum(p.numel() for p in self.parameters())
        low, high = self.levels
        return "\n".join([
            f"FDN: {count:,} parameters, {len(self.stages)} stages",
            f"noise: standard deviations from {low:g} to {high:g} of 255",
            "",
            "y = the photo, extended and tapered; x₀ = y",
            "y ← k⊗x beyond the photo's border, from the second stage on",
            "x ← F⁻¹[(λ conj(F k) F y + F φ(x)) / (λ |F k|² + Σ |F f|²)]",
            "λ: a network of the noise; φ: six convolutions of x; f: 24 filters 5×5 without mean",
            "image = x, clipped",
        ])  # fmt: skip

    def read_released(self, data: bytes) -> Mapping[str, Tensor]:
        """The arrays of a released file: see `unfold_fdn.public.read_hdf5`."""
        return read_hdf5(data)

    def convert_state_dict(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The released arrays under this model's names.

        Raises:
            ComponentError: if they belong to another network; lists the entries that do not fit.
        """
        return parameters_of(state, len(self.stages), self.state_dict())
