"""Named residuals for restoration: common expressions of images, kernels and masks."""

from __future__ import annotations

from unfold.core.affine import Affine, different
from unfold.core.expression import Entry

from .blur import Blur
from .filter_flow import Flow
from .gradient import Difference


class Convolution(Affine):
    """``r = H ⊗ I − X``: one kernel for the whole image, circular borders.

    The normal matrix in ``I`` is ``|F(H)|²`` in the Fourier basis, so that ``I`` is solved by one
    division: ``F⁻¹[(w conj(F H) F X + ...) / (w |F H|² + ρ)]`` (JUDE eq. 21 with its misprints
    mended, ErA's X update). The kernel's transfer function, its power and ``conj(F H) F X`` are
    cached until ``H`` or ``X`` changes. If the kernel is in the order, it is a block, too (blind
    deconvolution; see `unfold.terms.blur.Blur`).

    Args:
        block: ``I``, ``(B, C, H, W)``, affine.
        kernel: ``H``, ``(1 or B, 1 or C, h, w)``, at most as large as the image. Its center is
            the element ``(h // 2, w // 2)``, also for even sizes, as in ``scipy.ndimage``. As a
            block it has the batch size of the image.
        observed: ``X``, ``(B, C, H, W)``; also affine, and a block if it is in the order (ErA's
            constraint ``U = H ⊗ X`` is ``Convolution("X", kernel="H", observed="U")``).

    The convolution is circular: pad photos first (`unfold.imaging.boundary`).

    Raises:
        ValueError: if the kernel is larger than the image, or the observation does not have the
            shape of the blurred image.

    Source: Cho and Lee, "Fast motion deblurring", SIGGRAPH Asia 2009, for the kernel's update.

    Example:
        >>> import torch
        >>> from unfold.terms import Convolution
        >>> blur = Convolution("I", kernel="H", observed="X")
        >>> blur.blocks["I"].value, blur.gram_formula("I")
        ('Fourier-diagonal', '|F(H)|²')
        >>> box = torch.full((1, 1, 1, 3), 1 / 3)
        >>> point = torch.tensor([[[[0.0, 0.0, 3.0, 0.0, 0.0]]]])
        >>> blur({"I": point, "H": box, "X": torch.zeros_like(point)}).round(decimals=3).abs()
        tensor([[[[0., 1., 1., 1., 0.]]]])
    """

    def __init__(self, block: str, *, kernel: str, observed: str) -> None:
        self.block, self.kernel, self.observed = block, kernel, observed
        blurred = Blur(Entry(kernel, "optional"), Entry(block))
        super().__init__(blurred - Entry(observed))


class MaskedConvolution(Affine):
    """``r = T ⊙ (H ⊗ I − X)``: a convolution whose residual is weighted pixel by pixel.

    A mask T = 0 excludes, for example, saturated pixels, which do not follow the convolution. The
    normal matrix in I, ``Hᵀ T² H``, is not diagonal in any basis, so I is solved by conjugate
    gradients, preconditioned by ``mean(T²) |F H|²``; X is data. If the kernel is in the order, it
    is a block and solved likewise, preconditioned by ``|F I|²`` if it is as large as the image.

    Args:
        block: ``I``, ``(B, C, H, W)``.
        kernel: ``H``, ``(1 or B, 1 or C, h, w)``; see `Convolution`.
        mask: ``T``, ``(1 or B, 1, H, W)``, nonnegative.
        observed: ``X``, ``(B, C, H, W)``.

    Example:
        >>> import torch
        >>> from unfold.terms import MaskedConvolution
        >>> misfit = MaskedConvolution("I", kernel="H", mask="T", observed="X")
        >>> lamp, clipped = torch.tensor([[[[0.5, 3.0]]]]), torch.tensor([[[[0.5, 1.0]]]])
        >>> mask, point = (clipped < 1).float(), torch.ones(1, 1, 1, 1)
        >>> misfit({"I": lamp, "H": point, "T": mask, "X": clipped}).abs().max().item()
        0.0
    """

    def __init__(self, block: str, *, kernel: str, mask: str, observed: str) -> None:
        self.block, self.kernel, self.mask, self.observed = block, kernel, mask, observed
        blurred = Blur(Entry(kernel, "optional"), Entry(block))
        super().__init__(Entry(mask, "data") * (blurred - Entry(observed)))


class FilterFlow(Affine):
    """``r = B I − X`` with ``B x = Σ_m W_m ⊙ (k_m ⊗ x)``: a blur that varies over the image.

    See `unfold.terms.filter_flow.Flow` for the updates of I and of the kernels.

    Args:
        block: ``I``, ``(B, C, H, W)``.
        kernels: ``k``, ``(1 or B, M, h, w)``, at most as large as the image, centered as in
            `Convolution`; the same for every channel. As a block they have the height, the width
            and the batch size of the image (see `embed_kernel`).
        maps: ``W``, ``(1 or B, M, H, W)``; they usually sum to one over ``M``.
        observed: ``X``, ``(B, C, H, W)``; may be a block.
        local: whether conjugate gradients for I are preconditioned locally: faster if the kernels
            are similar, such as discs of several radii (see `Flow`).

    Raises:
        ValueError: see `Convolution`; or if there is not one map of the image's size per kernel.

    Source: Hirsch et al., "Efficient filter flow for space-variant multiframe blind
    deconvolution", CVPR 2010, with the maps after the convolution as in JUDE.

    Example:
        >>> import torch
        >>> from unfold.terms import FilterFlow
        >>> flow = FilterFlow("I", kernels="k", maps="W", observed="X")
        >>> kernels = torch.tensor([[[[0.0, 1.0, 0.0]], [[0.5, 0.0, 0.5]]]])
        >>> maps = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]]]])  # left; right
        >>> image = torch.tensor([[[[1.0, 2.0, 3.0, 5.0]]]])
        >>> flow({"I": image, "k": kernels, "W": maps, "X": torch.zeros_like(image)})
        tensor([[[[1.0000, 2.0000, 3.5000, 2.0000]]]])
    """

    def __init__(
        self, block: str, *, kernels: str, maps: str, observed: str, local: bool = False
    ) -> None:
        self.block, self.kernels, self.maps = block, kernels, maps
        self.observed, self.local = observed, local
        flow = Flow(Entry(kernels, "optional"), Entry(maps, "data"), Entry(block), local=local)
        super().__init__(flow - Entry(observed))


class Gradient(Affine):
    """``r = ∇x − G``: forward differences with circular borders.

    As a constraint it enables a prior on edges, ``g(∇x)``: put the prior on ``G``.
    The normal matrix in ``x`` is ``|F(∂x)|² + |F(∂y)|²``, Fourier-diagonal; in ``G`` it is 1.

    Args:
        block: ``x``, ``(B, C, H, W)``.
        gradient: ``G``, ``(B, 2C, H, W)``: ``∂x`` (to the right) of all channels, then ``∂y``
            (downwards) of all channels, per pixel.

    Raises:
        ValueError: if ``G`` does not have twice the channels of ``x``, or has another size.

    Example:
        >>> from unfold.core import Constraint, Lagrangian, Regularizer
        >>> from unfold.priors import L0
        >>> from unfold.terms import Gradient
        >>> edges = Constraint(Gradient("x", gradient="G"), penalty="w", dual="D")
        >>> print(Lagrangian(edges, Regularizer("G", L0(), 0.01)).explain().splitlines()[5])
        x       w·(|F(∂x)|² + |F(∂y)|²)  Fourier-diagonal  FFT, divide, inverse FFT (exact for circular borders)
    """  # noqa: E501

    def __init__(self, block: str, *, gradient: str) -> None:
        self.block, self.gradient = block, gradient
        super().__init__(Difference(Entry(block)) - Entry(gradient))


class Retinex(Affine):
    """``r = Z − P ⊙ Q``: affine in the image, the reflectance and the illumination, each alone.

    Normal matrices: 1 in ``Z``, ``Q²`` in ``P``, ``P²`` in ``Q`` (JUDE eq. 7 and 12 with the
    misprints mended). With a one-channel illumination and a three-channel reflectance, ``P²`` is
    summed over the channels, so that the illumination keeps one channel.

    Args:
        block: ``Z``, ``(B, C, H, W)``.
        reflectance: ``P``, ``(B, C, H, W)``.
        illumination: ``Q``, ``(B, 1 or C, H, W)``.

    Example:
        >>> import torch
        >>> from unfold.terms import Retinex
        >>> split = Retinex("Z", reflectance="P", illumination="Q")
        >>> [kind.value for kind in split.blocks.values()]
        ['scalar', 'pixel-diagonal', 'pixel-diagonal']
        >>> paint = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1)
        >>> light = torch.full((1, 1, 1, 1), 0.5)
        >>> split({"Z": paint * light, "P": paint, "Q": light}).flatten()
        tensor([0., 0., 0.])
    """

    def __init__(self, block: str, *, reflectance: str, illumination: str) -> None:
        self.block, self.reflectance, self.illumination = block, reflectance, illumination
        super().__init__(Entry(block) - Entry(reflectance) * Entry(illumination))


class SparseError(Affine):
    """``r = U + E − Y``: the blurred image ``U`` and an error ``E`` explain the observation.

    With ``Regularizer("E", SoftThreshold(), "ws")`` and ``Constraint(Equal("E", "P"), "w3", "D")``
    the error's update is ErA's ``E' = soft((Y − U − Δ + λ3 P) / (1 + λ3), λs / (1 + λ3))``.

    Args:
        block: ``U``, ``(B, C, H, W)``.
        error: ``E``, ``(B, C, H, W)``.
        observed: ``Y``, ``(B, C, H, W)``.

    Example:
        >>> import torch
        >>> from unfold.terms import SparseError
        >>> blurred = torch.full((1, 1, 1, 3), 0.5)
        >>> observed = torch.tensor([[[[0.5, 1.0, 0.5]]]])  # with a hot pixel
        >>> residual = SparseError("U", error="E", observed="Y")
        >>> residual({"U": blurred, "E": observed - blurred, "Y": observed})
        tensor([[[[0., 0., 0.]]]])
    """

    def __init__(self, block: str, *, error: str, observed: str) -> None:
        self.block, self.error, self.observed = block, error, observed
        super().__init__(Entry(block) + different(Entry(error), Entry(observed)))
