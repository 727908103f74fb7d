"""Consistency of the parts of a declaration: every error with its path."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from torch import nn

from unfold.core import Lagrangian, Quadratic, Residual, Structure

from .declaration import ConstraintTerm, PriorTerm, ProductOutput, QuadraticTerm
from .declared_penalties import level_weight, levels
from .parts import HYPER

Path = tuple[int | str, ...]
Problem = tuple[Path, str]

# Other names that a state or a restoration uses.
RESERVED = frozenset((
    "noise", "grain", "kernel", "maps", "trust", "share", "enhanced", "denoised", "gain",
    "curve", "scene", HYPER,
))  # fmt: skip


class Reading:
    """A declaration with its residuals.

    Attributes:
        options: the declaration, of which each option is valid by itself.
        residuals: index of a term -> its residual.
        unbuilt: errors of the terms that cannot be built.
    """

    def __init__(self, options: Any) -> None:
        self.options = options
        self.residuals: dict[int, Residual] = {}
        self.unbuilt: list[Problem] = []
        for index, term in enumerate(options.terms):
            if isinstance(term, PriorTerm):
                continue
            key = "quadratic" if isinstance(term, QuadraticTerm) else "constraint"
            try:
                self.residuals[index] = getattr(term, key).build()
            except Exception as error:  # a plugin's term may raise any exception
                self.unbuilt.append((("terms", index, key), f"cannot be built: {error}"))

    @cached_property
    def structures(self) -> dict[str, Structure]:
        """Block -> the structure of its normal matrix."""
        if not self.residuals:
            return {}
        return Lagrangian(*map(Quadratic, self.residuals.values())).blocks

    @cached_property
    def duals(self) -> dict[str, int]:
        """Dual -> the first term that uses it."""
        found: dict[str, int] = {}
        for index, term in enumerate(self.options.terms):
            if isinstance(term, ConstraintTerm):
                found.setdefault(term.dual, index)
        return found

    def priors(self) -> Iterator[tuple[int, PriorTerm]]:
        """The priors, with their indices."""
        return ((i, t) for i, t in enumerate(self.options.terms) if isinstance(t, PriorTerm))

    def weight_names(self) -> Iterator[tuple[Path, str]]:
        """The paths at which a weight is named, each with the name."""
        for index, term in enumerate(self.options.terms):
            key = "penalty" if isinstance(term, ConstraintTerm) else "weight"
            if isinstance(name := getattr(term, key), str):
                yield ("terms", index, key), name


def errors(options: Any) -> list[Problem]:
    """Every error of a declaration: its path and a message with the remedy."""
    reading = Reading(options)
    if reading.unbuilt:
        return reading.unbuilt  # the names that these terms use are unknown
    return [problem for check in _CHECKS for problem in check(reading)]


def _entries(reading: Reading) -> Iterator[Problem]:
    data, start = reading.options.data, reading.options.start
    known = {*data, *start}
    if not reading.residuals:
        yield ("terms",), "there must be at least one quadratic term or constraint"
    for index, residual in reading.residuals.items():
        for name in (*residual.blocks, *residual.reads):
            if name not in known:
                yield (
                    ("terms", index),
                    f"{name!r} has no value: add a start to [start] if it is a block, or a "
                    f"source to [data] otherwise{_close(name, known)}",
                )
    used = {name for r in reading.residuals.values() for name in (*r.blocks, *r.reads)}
    read = {name for r in reading.residuals.values() for name in r.reads}
    for table, names in (("data", data), ("start", start)):
        for name in names:
            if name in RESERVED or hasattr(nn.ModuleDict(), name):
                yield (table, name), f"the name {name!r} is reserved: choose another"
            elif not name or "." in name:
                yield (table, name), "a name must not be empty and must not contain a full stop"
            elif name not in used:
                yield (table, name), f"no term contains {name!r}: remove it{_close(name, used)}"
    for name in start:
        if name in data:
            yield ("start", name), f"{name!r} is also in [data], where it is fixed: keep one entry"
        elif name in read:
            yield (
                ("start", name),
                f"{name!r} cannot be updated, because a term is not affine in it: move it to "
                "[data]",
            )


def _starts(reading: Reading) -> Iterator[Problem]:
    for name, start in reading.options.start.items():
        if start.channels == 1 and start.value in ("photo", "reflectance"):
            yield ("start", name, "channels"), f"the {start.value} has 3 channels, not 1"


def _duals(reading: Reading) -> Iterator[Problem]:
    entries = {*reading.options.data, *reading.options.start}
    for index, term in enumerate(reading.options.terms):
        if not isinstance(term, ConstraintTerm):
            continue
        first = reading.duals[term.dual]
        if first != index:
            message = f"{term.dual!r} is also the dual of terms.{first}: each needs its own"
            yield ("terms", index, "dual"), message
        elif term.dual in entries or term.dual in RESERVED:
            message = f"another entry has the name {term.dual!r}: choose another name"
            yield ("terms", index, "dual"), message


def _priors(reading: Reading) -> Iterator[Problem]:
    start, bounded = reading.options.start, _bounded(reading)
    first: dict[str, int] = {}
    for index, term in reading.priors():
        block, structure = term.block, reading.structures.get(term.block)
        place: Path = ("terms", index, "block")
        if term.level is not None and term.weight is not None:
            yield ("terms", index), "a prior has either a level or a weight: remove one of them"
        if block not in start:
            yield place, f"{block!r} is no block; blocks are {_list(start)}{_close(block, start)}"
        elif first.setdefault(block, index) != index:
            yield (
                place,
                f"terms.{first[block]} is also a prior on {block!r}: add a block with the "
                f"constraint that it equals {block!r}, and put the second prior on it",
            )
        elif structure in (Structure.FOURIER, Structure.MATRIX_FREE):
            yield (
                place,
                f"the normal matrix of {block!r} is {structure.value}, which a proximal operator "
                f"cannot handle: add a block, for example {block}2, with a term constraint = "
                f'{{kind = "equal", left = "{block}", right = "{block}2"}}, and put the prior '
                "there",
            )
        elif structure is Structure.PIXEL and term.noise_level and block not in bounded:
            yield (
                place,
                f"the normal matrix of {block!r} varies from pixel to pixel, and nothing bounds "
                "the level of its prior: add a split by a constraint (equal) whose penalty is a "
                f'weight such as {{value = 0.1, bounds = "{block}"}}',
            )


def _order(reading: Reading) -> Iterator[Problem]:
    options = reading.options
    updated = [*options.start, *reading.duals]
    for index, name in enumerate(options.order):
        if name in options.data:
            yield ("order", index), f"{name!r} is in [data], so it is fixed: remove it here"
        elif name not in updated:
            yield (
                ("order", index),
                f"{name!r} is neither a block nor a dual; choose from {_list(updated)}"
                f"{_close(name, updated)}",
            )
    missing = [name for name in updated if name not in options.order]
    if missing:
        yield (
            ("order",),
            f"{_list(missing)} would never be updated: add every block and dual to the order (a "
            "fixed entry belongs in [data])",
        )


def _penalties(reading: Reading) -> Iterator[Problem]:
    penalties = reading.options.penalties
    named = list(reading.weight_names())
    for place, name in named:
        if name not in penalties:
            known = f"; it has {_list(penalties)}" if penalties else ""
            message = f"[penalties] has no {name!r}{known}: add it{_close(name, penalties)}"
            yield place, message
        elif place[-1] == "penalty" and penalties[name].value == 0:
            yield place, f"a penalty must be positive, and {name!r} is 0"
    used = {name for _, name in named}
    for name, weight in penalties.items():
        if name not in used:
            yield ("penalties", name), f"no term uses the weight {name!r}: remove it"
        if weight.value == 0 and not weight.plain:
            yield ("penalties", name, "value"), "must be positive, got 0"
        if name in map(level_weight, levels(reading.options.terms)):
            yield ("penalties", name), f"the name {name!r} is reserved: choose another"
        yield from _relations(reading, name)


def _relations(reading: Reading, name: str) -> Iterator[Problem]:
    """The blocks that a weight balances or bounds."""
    weight, known = reading.options.penalties[name], levels(reading.options.terms)
    if weight.balances is not None and weight.bounds is not None:
        yield ("penalties", name), "a weight either balances or bounds a block: remove one of them"
    for key in ("balances", "bounds"):
        block = getattr(weight, key)
        if block is not None and block not in known:
            yield (
                ("penalties", name, key),
                f"no prior on {block!r} has a level; the blocks with levels are {_list(known)}",
            )
        elif key == "bounds" and block is not None:
            yield from _bounds(reading, name, block)


def _bounds(reading: Reading, name: str, block: str) -> Iterator[Problem]:
    place: Path = ("penalties", name, "bounds")
    if reading.structures.get(block) is not Structure.PIXEL:
        yield place, f"{block!r} is not a factor of a product, so it needs no bound: remove it"
        return
    others = [n for n, w in reading.options.penalties.items() if w.bounds == block and n != name]
    if others:
        yield place, f"{others[0]!r} also bounds {block!r}: remove one of them"
        return
    if name not in _penalties_on(reading, block, Structure.SCALAR):
        yield (
            place,
            f"{name!r} must be the penalty of a constraint (equal) between {block!r} and another "
            "block",
        )
        return
    bounded = {n for n, w in reading.options.penalties.items() if w.bounds and n != name}
    for other in bounded & {*_penalties_on(reading, block, *Structure)}:
        message = f"it would depend on {other!r}, which bounds another block: give {block!r} "
        yield place, message + "terms with penalties of their own"


def _penalties_on(reading: Reading, block: str, *structures: Structure) -> list[Any]:
    """The penalties of the terms that have one of these structures in a block."""
    terms = {i: reading.options.terms[i] for i in reading.residuals}
    return [
        term.penalty if isinstance(term, ConstraintTerm) else term.weight
        for i, term in terms.items()
        if reading.residuals[i].blocks.get(block) in structures
    ]


def _bounded(reading: Reading) -> set[str]:
    return {w.bounds for w in reading.options.penalties.values() if w.bounds}


def _output(reading: Reading) -> Iterator[Problem]:
    output, start = reading.options.output, reading.options.start
    product = isinstance(output, ProductOutput)
    named: list[tuple[Path, str]] = [(("output",), output)] if not product else []
    if product:
        named.append((("output", "light"), output.light))
        named += [(("output", "reflectance"), name) for name in output.names]
    for place, name in named:
        if name not in start:
            yield place, f"{name!r} is no block; blocks are {_list(start)}{_close(name, start)}"
    for part in ("enhancer", "denoiser"):
        if not product and getattr(reading.options, part) is not None:
            example = '{light = "L", reflectance = "R"}'
            yield (part,), f"the output is a single block: remove this part, or write {example}"


def _kernels(reading: Reading) -> Iterator[Problem]:
    options, sources = reading.options, set(reading.options.data.values())
    if options.num_kernels > 1 and "maps" not in sources:
        yield (
            ("num_kernels",),
            f'{options.num_kernels} kernels need maps: add an entry with the value "maps" to '
            "[data], for a term such as filter-flow",
        )
    if {"maps", "trust"} <= sources:
        yield ("data",), "a kernel estimator gives either maps or trust: remove one of them"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _close(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=2)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


_CHECKS: tuple[Callable[[Reading], Iterator[Problem]], ...] = (
    _entries, _starts, _duals, _priors, _order, _penalties, _output, _kernels,
)  # fmt: skip
