"""The shares of the data and of the other terms in a block, and in a fit to the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from unfold.errors import InputError

from .cg import CG
from .lagrangian import Constraint, Lagrangian, Penalties, Quadratic, weight_of
from .normal import Normal
from .operators import PixelDiagonal, Structure
from .state import State

Affine = Quadratic | Constraint


def measured_share(
    lagrangian: Lagrangian,
    block: str,
    order: Collection[str],
    state: Mapping[str, Tensor],
    penalties: Penalties,
    *,
    cg: CG | None = None,
    probes: int = 8,
) -> Tensor:
    """The diagonal of ``A⁻¹ A_d``: the share of the measured terms in the update of a block.

    ``A = A_d + A_r`` is the normal matrix of the block without its prior, ``A_d`` its part from the
    terms that connect the block to an observation, possibly through other blocks. An entry is 1 if
    the block follows the observation, and 0 if it follows the other terms. The result is exact if A
    is diagonal in the pixel or the Fourier basis. Otherwise it is the mean over random signs v of
    ``v ⊙ A⁻¹ A_d v``, by conjugate gradients, which is inaccurate for single pixels.

    Args:
        lagrangian: Lagrangian of the block.
        block: name of the block.
        order: the blocks that are updated; all other entries of the state are data.
        state: every block and all data.
        penalties: name -> positive number or tensor ``()``, ``(1 or B, 1, 1, 1)``.
        cg: solver for a matrix-free A.
        probes: number of random v for a matrix-free A.

    Returns:
        Values in [0, 1], up to the error of the probes, of the block's shape. A block that is
        solved in the Fourier basis has one value for all pixels of a channel, ``(B, C, 1, 1)``.

    Raises:
        InputError: if the block has no terms.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> from unfold.core import measured_share
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = (uf.sq(x - y) / 2 + uf.constraint(x - z, 0.25) + uf.tv(z)).lagrangian
        >>> state = L.start(dict.fromkeys("xyz", torch.rand(1, 1, 4, 4)))
        >>> measured_share(L, "x", "xz", state, {})[0, 0, 0, 0].item()
        0.800000011920929

    Source: Backus and Gilbert, "The resolving power of gross earth data", 1968, for A⁻¹ A_d, the
    model resolution matrix; Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a
    matrix", 2007, for the probes.
    """
    state = State(state)
    terms = [t for t in _affine(lagrangian) if t.residual.structure(block) is not None]
    if not terms:
        raise InputError(f"{block!r} is no block; blocks are {', '.join(lagrangian.structures)}")
    observed = data_terms(lagrangian, order, state)
    whole, measured = Normal(state[block]), Normal(state[block])
    for term in terms:
        weight = weight_of(term, penalties, whole.dtype)
        operator = term.residual.operator(block, state)
        whole.add(weight, operator)
        if _leads_to(term, observed, block, lagrangian, order):
            measured.add(weight, operator)

    def passed(probe: Tensor) -> Tensor:
        whole.rhs = measured.apply(probe)
        return whole.solve(torch.zeros_like(probe), cg or CG())

    zeros = torch.zeros_like(state[block])
    if whole.structure is Structure.FOURIER:
        impulse = zeros.clone()
        impulse[..., 0, 0] = 1
        return passed(impulse)[..., :1, :1]
    if whole.structure is not Structure.MATRIX_FREE:
        return passed(zeros + 1)
    generator = torch.Generator().manual_seed(0)
    total = zeros
    for _ in range(probes):
        signs = torch.randint(2, zeros.shape, generator=generator).to(zeros) * 2 - 1
        total = total + signs * passed(signs)
    return total / probes


def data_terms(
    lagrangian: Lagrangian, order: Collection[str], state: Mapping[str, Tensor]
) -> tuple[Affine, ...]:
    """The terms with an observation: their residual is not zero if all blocks are zero.

    Args:
        order: the blocks that are updated.
        state: every block and all data.
    """
    empty = without_blocks(lagrangian, order, state)
    return tuple(t for t in _affine(lagrangian) if bool(t.residual(empty).any()))


def without_blocks(
    lagrangian: Lagrangian, order: Collection[str], state: Mapping[str, Tensor]
) -> State:
    """The state with zeros in the blocks that are updated."""
    state = State(state)
    for name in lagrangian.structures.keys() & set(order):
        state = state.replace(name, torch.zeros_like(state[name]))
    return state


def explained(
    lagrangian: Lagrangian, order: Collection[str], state: Mapping[str, Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """The prediction of each observation by the blocks, and the observation, with the same sign.

    The update of a block without a prior is a compromise between the data and the other terms. If
    a term makes such a block equal to another expression, the prediction uses that expression: Z
    for I if ``I = Z``, B X for U if ``U = B X``. The prediction then follows the priors.

    Args:
        order: the blocks that are updated.
        state: every block and all data.

    Returns:
        For each of `data_terms`, two tensors ``(B, C, H, W)``.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> from unfold.core import explained
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = (uf.sq(x - y) / 2 + uf.constraint(x - z, 0.25) + uf.tv(z)).lagrangian
        >>> state = {name: torch.rand(1, 1, 4, 4) for name in "xyz"}
        >>> ((found, observation),) = explained(L, "xz", L.start(state))
        >>> bool((found.abs() == state["z"]).all())  # x is what z says
        True
    """
    observed, state = data_terms(lagrangian, order, state), State(state)
    empty = without_blocks(lagrangian, order, state)
    believed = state
    for block in dict.fromkeys(b for term in observed for b in _blocks(term, order)):
        if block not in lagrangian.regularizers:
            believed = believed.replace(block, _by_the_rest(lagrangian, block, observed, state))
    made: list[tuple[Tensor, Tensor]] = []
    for term in observed:
        observation = term.residual(empty)
        made.append((observation - term.residual(believed), observation))
    return made


def _by_the_rest(
    lagrangian: Lagrangian, block: str, observed: Sequence[Affine], state: State
) -> Tensor:
    """The value of a block at which the residual of the first other term with J = ±1 is zero."""
    for term in _affine(lagrangian):
        if term not in observed and term.residual.structure(block) is Structure.SCALAR:
            operator = term.residual.operator(block, state)
            if isinstance(operator, PixelDiagonal) and operator.diagonal == 1:
                return state[block] - operator.sign * term.residual(state)
    return state[block]


def _leads_to(
    term: Affine,
    observed: Collection[Affine],
    block: str,
    lagrangian: Lagrangian,
    order: Collection[str],
) -> bool:
    """Whether a term connects a block to an observation, possibly through other blocks."""
    reached, todo = {block}, [term]
    while todo:
        term = todo.pop()
        if term in observed:
            return True
        beyond = _blocks(term, order) - reached
        reached |= beyond
        todo += [t for t in _affine(lagrangian) if _blocks(t, order) & beyond]
    return False


def _blocks(term: Affine, order: Collection[str]) -> set[str]:
    return {*term.residual.blocks, *term.residual.optional_blocks} & set(order)


def _affine(lagrangian: Lagrangian) -> tuple[Affine, ...]:
    return (*lagrangian.quadratics, *lagrangian.constraints)
