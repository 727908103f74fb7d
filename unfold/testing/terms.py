"""Checks of a term."""

from __future__ import annotations

import torch
from torch import Tensor

from unfold.core import (
    CG,
    Equal,
    FourierDiagonal,
    Lagrangian,
    MatrixFree,
    PixelDiagonal,
    Quadratic,
    Residual,
    State,
    Structure,
    lower,
)

from .options import bounds_its_numbers, is_built_quickly
from .tools import Rule, Subject, close, need

_OPERATORS = {Structure.FOURIER: FourierDiagonal, Structure.MATRIX_FREE: MatrixFree}
_TOLERANCE = 1e-9


def _each_block(subject: Subject):
    """Every block, also optional ones, which get the batch, height and width of the residual."""
    term, state = subject.component(torch.float64), State(subject.entries())
    for block in term.blocks:
        yield term, block, state, term.operator(block, state)
    batch, _, *size = term(state).shape
    for block in term.optional_blocks:
        full = torch.randn(batch, state[block].shape[1], *size, dtype=torch.float64)
        enlarged = state.replace(block, full)
        yield term, block, enlarged, term.operator(block, enlarged)


def is_a_term(subject: Subject) -> None:
    term = subject.make()
    need(isinstance(term, Residual), f"{term!r:.60} is no unfold.core.Residual")
    need(len(term.blocks) > 0, "it has no blocks")
    for name, structure in (*term.blocks.items(), *term.optional_blocks.items()):
        need(isinstance(structure, Structure), f"the structure of {name!r} is {structure!r}")


def declares_what_it_reads(subject: Subject) -> None:
    """The residual does not change if an entry is removed that is neither a block nor in ``reads``.

    (Entries are removed, not observed, because a term may copy the state, which reads all of them.)
    """
    term, entries = subject.component(torch.float64), subject.entries()
    want = term(entries)
    for name in sorted(entries.keys() - {*term.blocks, *term.reads}):
        rest = {other: value for other, value in entries.items() if other != name}
        try:
            same = torch.equal(term(rest), want)
        except Exception:  # a missing entry; a plugin's code may raise any exception
            same = False
        need(same, f"forward reads {name!r}, which is neither a block nor declared in reads")


def is_affine(subject: Subject) -> None:
    for term, block, state, _ in _each_block(subject):
        x, y = torch.randn_like(state[block]), torch.randn_like(state[block])
        mixed = term(state.replace(block, 0.3 * x + 0.7 * y))
        apart = 0.3 * term(state.replace(block, x)) + 0.7 * term(state.replace(block, y))
        close(mixed, apart, f"not affine in {block!r}", _TOLERANCE)


def has_its_structure(subject: Subject) -> None:
    """The operator has the structure that ``blocks`` declares, which determines the solver."""
    for term, block, _, operator in _each_block(subject):
        structure = term.structure(block)
        kind = _OPERATORS.get(structure, PixelDiagonal)
        found = type(operator).__name__
        need(isinstance(operator, kind), f"{block!r} is declared {structure.value}, has a {found}")
        if structure is Structure.SCALAR:
            scalar = isinstance(operator, PixelDiagonal) and not isinstance(
                operator.diagonal, Tensor
            )
            need(scalar, f"{block!r} is declared scalar, has a diagonal that varies")


def operator_is_the_derivative(subject: Subject) -> None:
    for term, block, state, operator in _each_block(subject):
        x, direction = torch.randn_like(state[block]), torch.randn_like(state[block])

        def forward(value: Tensor, term=term, block=block, state=state) -> Tensor:
            return term(state.replace(block, value))

        derivative = torch.func.jvp(forward, (x,), (direction,))[1]
        close(operator.mv(direction), derivative, f"J of {block!r} and the jvp", _TOLERANCE)


def offset_is_what_is_left(subject: Subject) -> None:
    for term, block, state, operator in _each_block(subject):
        residual = term(state)
        rest = (residual - operator.mv(state[block])).expand_as(residual)
        offset = term.offset(block, state).expand_as(residual)
        close(offset, rest, f"offset of {block!r}", _TOLERANCE)


def adjoint_is_the_adjoint(subject: Subject) -> None:
    for term, block, state, operator in _each_block(subject):
        x = torch.randn_like(state[block])
        y = torch.randn_like(term(state))
        pulled = operator.adjoint(y)
        need(pulled.shape == x.shape, f"Jᵀy of {block!r} is {tuple(pulled.shape)}")
        left, right = (operator.mv(x) * y).sum(), (x * pulled).sum()
        close(left, right, f"⟨Jx, y⟩ and ⟨x, Jᵀy⟩ of {block!r}", _TOLERANCE)


def gram_is_the_gram(subject: Subject) -> None:
    for _, block, state, operator in _each_block(subject):
        x = torch.randn_like(state[block])
        close(operator.gram(x), operator.adjoint(operator.mv(x)), f"JᵀJ of {block!r}", _TOLERANCE)


def says_the_same_of_the_data(subject: Subject) -> None:
    """``rhs_quadratic`` is −Jᵀc and ``rhs_constraint`` is −Jᵀ(Γ + w c), overridden or not."""
    for term, block, state, operator in _each_block(subject):
        residual = term(state)
        offset, dual = term.offset(block, state).expand_as(residual), torch.randn_like(residual)
        for name, got, y in (
            ("rhs_quadratic", term.rhs_quadratic(block, state, operator), offset),
            (
                "rhs_constraint",
                term.rhs_constraint(block, state, operator, dual, 0.7),
                dual + 0.7 * offset,
            ),
        ):
            want = -operator.adjoint(y)
            pixels = torch.fft.irfft2(got, s=want.shape[-2:]) if got.is_complex() else got
            close(pixels, want, f"{name} of {block!r}", _TOLERANCE)


def is_solved_in_a_lagrangian(subject: Subject) -> None:
    """After minimizing over a block, the Lagrangian's gradient in it is zero."""
    for term, block, state, _ in _each_block(subject):
        anchored = state.replace("the anchor", torch.randn_like(state[block]))
        lagrangian = Lagrangian(Quadratic(term, 1.3), Quadratic(Equal(block, "the anchor"), 0.4))
        (step,) = lower(lagrangian, (block,), CG(maximum=500, tolerance=1e-12))
        with torch.no_grad():
            after = step(anchored, {})
        x = after[block].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(lagrangian.value(after.replace(block, x), {}), x)
        worst = gradient.abs().max().item()
        need(worst < 1e-8, f"the gradient in {block!r} after its update is {worst:.3g}")


def leaves_inputs_alone(subject: Subject) -> None:
    entries = subject.entries()
    copies = {name: value.clone() for name, value in entries.items()}
    term = subject.component(torch.float64)
    term(entries)
    for block in term.blocks:
        term.operator(block, State(entries)).adjoint(term(entries))
    need(entries.keys() == copies.keys(), "entries were added to the state or removed")
    for name, value in entries.items():
        need(torch.equal(value, copies[name]), f"{name!r} was changed in place")


def treats_images_apart(subject: Subject) -> None:
    term, entries = subject.component(torch.float64), subject.entries()
    batch = max(len(value) for value in entries.values())
    need(batch > 1, "the given state has a batch of one: give two images")
    both = term(entries)
    for i in range(batch):
        one = {n: value[i : i + 1] if len(value) > 1 else value for n, value in entries.items()}
        close(both[i : i + 1], term(one), f"image {i} in a batch and alone", _TOLERANCE)


def works_in_float32(subject: Subject) -> None:
    entries = subject.entries()
    want = subject.component(torch.float64)(entries)
    singles = {name: value.float() for name, value in entries.items()}
    got = subject.component()(singles)
    need(got.dtype == torch.float32, f"torch.float32 became {got.dtype}")
    close(got.double(), want, "float32 against float64", 1e-4)


def passes_gradients(subject: Subject) -> None:
    """For every entry on which the residual depends; correct by gradcheck."""
    term = subject.component(torch.float64)
    entries = {n: value.requires_grad_() for n, value in subject.entries().items()}
    names = list(entries)

    def run(*values: Tensor) -> Tensor:
        return term(dict(zip(names, values, strict=True)))

    torch.autograd.gradcheck(run, tuple(entries.values()), fast_mode=True)


def explains_itself(subject: Subject) -> None:
    term = subject.make()
    need(term.formula(), "formula() is empty")
    for block in (*term.blocks, *term.optional_blocks):
        need(term.gram_formula(block), f"gram_formula({block!r}) is empty")


CHECKS = {
    "type": Rule(is_a_term),
    "reads": Rule(declares_what_it_reads),
    "affine": Rule(is_affine),
    "structure": Rule(has_its_structure),
    "derivative": Rule(operator_is_the_derivative),
    "offset": Rule(offset_is_what_is_left),
    "adjoint": Rule(adjoint_is_the_adjoint),
    "gram": Rule(gram_is_the_gram),
    "data": Rule(says_the_same_of_the_data),
    "lagrangian": Rule(is_solved_in_a_lagrangian),
    "no-mutation": Rule(leaves_inputs_alone),
    "batch-independence": Rule(treats_images_apart),
    "float32": Rule(works_in_float32),
    "gradients": Rule(passes_gradients),
    "explain": Rule(explains_itself),
    "bounds": Rule(bounds_its_numbers, named=True),
    "building": Rule(is_built_quickly, named=True),
}
