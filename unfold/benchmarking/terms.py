"""Cases of the update of a block, also against another library."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from unfold.core import (
    CG,
    Constraint,
    Equal,
    Lagrangian,
    Quadratic,
    Residual,
    State,
    Structure,
    lower,
)
from unfold.registry.catalog import Component
from unfold.terms import Convolution

from .case import Case, PairedRun, Size, SkippedError
from .registered import find_spec, registered
from .sample import kernels, photo, shares
from .yardstick import TRANSFORMS, transforms

TOLERANCE = 1e-4  # of the relative residual, where the solve is iterative
_PENALTY, _PEER_PENALTY = 0.01, 0.1
_CG = CG(maximum=500, tolerance=TOLERANCE)
_HARDNESS = [Structure.SCALAR, Structure.PIXEL, Structure.FOURIER, Structure.MATRIX_FREE]


def term_cases(size: Size) -> Iterator[Case]:
    """For each installed term ``r`` the update of its hardest block ``x``, in::

        min 1/2 ‖r‖² + ⟨D, x − z⟩ + 0.005 ‖x − z‖²

    An entry whose name begins with ``kernel`` is a 31×31 kernel (``kernels``: eight of 21×21),
    ``maps`` are eight maps that sum to one, ``gradient`` has twice the channels of an image.
    Every other entry is an image, and ``observed`` is computed from the others. A term that
    requires other entries fails with an error.

    The bound depends on the solution of the block: one division; two real FFTs and a division; or,
    for conjugate gradients with a warm start and a preconditioner, plain conjugate gradients from
    zero.
    """
    return registered("terms", size, solve_pair, make_term)


def make_term(component: Component) -> Residual:
    """A term whose entries have the names of its options."""
    spec = find_spec(component)
    fields = {n: f for n, f in spec.model_fields.items() if f.is_required()}
    other = [name for name, field in fields.items() if field.annotation is not str]
    if other:
        raise SkippedError(f"its options have no default: {', '.join(other)}")
    parameters = inspect.signature(spec.component).parameters.values()
    blocks = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return spec(kind=component.qualified, **{name: name for name in fields}).build(*blocks)


def solve_pair(term: Residual, size: Size, device: torch.device) -> PairedRun:
    """The update of the hardest block, and its bound."""
    problem = pose(term, size, device)
    (step,) = lower(problem.lagrangian, (problem.block,), _CG)
    with torch.inference_mode():
        solved = step(problem.state, {})
    # Between two stages the split moves a little; what only the kernel decides is remembered.
    noise = 0.01 * torch.randn(solved["split"].shape, generator=torch.Generator().manual_seed(3))
    warm = solved.replace("split", solved["split"] + noise.to(device))

    def run() -> State:
        return step(warm, {})

    structure = problem.lagrangian.blocks[problem.block]
    if structure is Structure.MATRIX_FREE:
        words = f"plain CG from zero to {TOLERANCE:g}"
        return PairedRun(run, lambda: plain_cg(problem, warm), words)
    if structure is Structure.FOURIER:
        return PairedRun(run, transforms(solved["split"]), TRANSFORMS)
    divisor = torch.rand_like(solved["split"]) + 0.1
    return PairedRun(run, lambda: solved["split"] / divisor, "one division")


def plain_cg(problem: Problem, state: State) -> Tensor:
    """Conjugate gradients without preconditioner and warm start."""
    zero = torch.zeros_like(state[problem.block])
    cold = state.replace(problem.block, zero)
    normal = problem.lagrangian.normal(problem.block, cold, {})
    return _CG.solve(normal.apply, -normal.gradient(zero), zero, lambda r: r)


@dataclass(frozen=True)
class Problem:
    """A Lagrangian, and the block to solve for."""

    lagrangian: Lagrangian
    block: str
    state: State


def pose(term: Residual, size: Size, device: torch.device) -> Problem:
    """A term in a Lagrangian, and a state for it (see `term_cases`)."""
    block = max(term.blocks, key=lambda name: _HARDNESS.index(term.blocks[name]))
    entries = {name: _entry(name, size, device) for name in (*term.blocks, *term.reads)}
    with torch.inference_mode():
        if "observed" in entries:
            none = torch.zeros_like(entries["observed"])
            entries["observed"] = term({**entries, "observed": none})
        entries["split"] = entries[block]
        entries["dual"] = torch.zeros_like(entries[block])
    lagrangian = Lagrangian(
        Quadratic(term, 1.0), Constraint(Equal(block, "split"), penalty=_PENALTY, dual="dual")
    )
    return Problem(lagrangian, block, State(entries))


def _entry(name: str, size: Size, device: torch.device) -> Tensor:
    if name.startswith("kernel"):
        return kernels(8, 21, device) if name.endswith("s") else kernels(1, 31, device)
    if name == "maps":
        return shares(8, size, device)
    if name == "gradient":
        return photo(size, device).repeat(1, 2, 1, 1)
    return photo(size, device)


def peer_cases(size: Size) -> Iterator[Case]:
    """The stationary deconvolution step, ``argmin 1/2 ‖H⊗x − X‖² + 0.05 ‖x − z‖²``, against
    DeepInverse's."""

    def prepare(device: torch.device) -> PairedRun:
        version, theirs = deepinverse_step(size, device)
        return PairedRun(
            our_step(size, device), theirs, f"DeepInverse {version}'s L2().prox, BlurFFT"
        )

    yield Case("terms", "convolution, DeepInverse", size, prepare)


def our_step(size: Size, device: torch.device) -> Callable[[], Tensor]:
    """The step that unfold derives, as in the second and later stages: spectra are cached."""
    x, z, kernel = _problem(size, device)
    lagrangian = Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), 1.0),
        Constraint(Equal("I", "Z"), penalty=_PEER_PENALTY, dual="D"),
    )
    (step,) = lower(lagrangian, ("I",))
    with torch.inference_mode():
        state = step({"I": x, "X": x, "Z": z, "D": torch.zeros_like(z), "H": kernel}, {})
    return lambda: step(state, {})["I"]


def deepinverse_step(size: Size, device: torch.device) -> tuple[str, Callable[[], Tensor]]:
    """DeepInverse's version, and its proximal step of the data term.

    Raises:
        SkippedError: if DeepInverse is not installed.
    """
    try:
        from deepinv.optim import L2  # pyright: ignore[reportMissingImports]
        from deepinv.physics import BlurFFT  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SkippedError(f"needs DeepInverse ({error}): pip install deepinv") from error
    x, z, kernel = _problem(size, device)
    physics = BlurFFT(img_size=(3, *size), filter=kernel, device=device)
    fidelity = L2()
    return (
        importlib.metadata.version("deepinv"),
        lambda: fidelity.prox(z, x, physics, gamma=1 / _PEER_PENALTY),
    )


def _problem(size: Size, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return photo(size, device), photo(size, device, seed=1), kernels(1, 31, device)
