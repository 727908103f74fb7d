"""Named checks of a component, and the checks that are expected to fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from unfold.errors import InputError, UnfoldError

from . import datasets, degradations, metrics, models, priors, terms
from .tools import Subject

_GROUPS = {
    "priors": priors.CHECKS,
    "terms": terms.CHECKS,
    "models": models.CHECKS,
    "degradations": degradations.CHECKS,
    "metrics": metrics.CHECKS,
    "datasets": datasets.CHECKS,
}


class ConformanceError(UnfoldError, AssertionError):
    """A component fails a check, or passes one that is expected to fail.

    Example:
        >>> from unfold.core import Prior
        >>> from unfold.testing import checks
        >>> class Doubling(Prior):
        ...     def prox(self, v, step):
        ...         return 2 * v
        ...     def value(self, x):
        ...         return x.new_zeros(len(x))  # of g = 0, which leaves v as it is
        >>> (optimality,) = [c for c in checks("priors", Doubling) if c.name == "prox-optimality"]
        >>> optimality()
        Traceback (most recent call last):
            ...
        unfold.testing.check.ConformanceError: prox-optimality: ...
    """


@dataclass(frozen=True)
class Check:
    """One check of a component; a call runs it.

    Example:
        >>> from unfold.priors import Box
        >>> from unfold.testing import checks
        >>> check = checks("priors", Box)[0]
        >>> str(check)
        'type'
        >>> check()  # raises nothing: Box keeps this promise
    """

    name: str
    run: Callable[[Subject], None]
    subject: Subject
    reason: str = ""  # why the check is expected to fail; empty if it is not

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Run the check.

        Raises:
            ConformanceError: if it fails, or passes although it is expected to fail.
        """
        problem = self._problem()
        if problem is not None and not self.reason:
            raise ConformanceError(f"{self.name}: {problem}") from problem
        if problem is None and self.reason:
            raise ConformanceError(
                f"{self.name}: passes, though expected to fail ({self.reason}): take it out of "
                "expected_failures"
            )

    def _problem(self) -> Exception | None:
        # Each check uses the same random numbers, independent of the checks before it.
        state = torch.random.get_rng_state()
        torch.manual_seed(0)
        try:
            self.run(self.subject)
        except SkipTest:  # pytest and unittest treat it as "cannot be checked here"
            raise
        except Exception as error:
            return error
        finally:
            torch.random.set_rng_state(state)
        return None


def checks(
    group: str,
    make: Callable[[], Any],
    *,
    state: Callable[..., Any] | None = None,
    name: str | None = None,
    claims: tuple[str, ...] = (),
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """The checks of a component.

    Args:
        group: ``"priors"``, ``"terms"``, ``"models"``, ``"degradations"``, ``"metrics"`` or
            ``"datasets"``.
        make: function that builds the component, or its class. A prior is for three channels. For a
            data set it is the reader, ``make(root, split, strict=...)``.
        state: for a term: function that builds a float64 state with every entry that the term
            reads, in a batch of two. For a data set: ``state(folder)`` writes a small one without
            errors.
        name: registered name, whose spec is then also checked.
        claims: additional properties: ``"bfloat16"``, ``"compile"``, ``"export"``; for a prior also
            ``"nonexpansive"``.
        expected_failures: name of a check -> reason. Such a check must fail.

    Raises:
        InputError: if a group, claim or expected failure does not exist.

    Example:
        >>> from unfold.metrics import MAE
        >>> from unfold.testing import checks
        >>> for check in checks("metrics", MAE)[:3]:
        ...     print(check)
        ...     check()
        type
        values
        precision
    """
    if group not in _GROUPS:
        raise InputError(f"no checks for {group!r}; there are some for {', '.join(_GROUPS)}")
    if group in ("terms", "datasets") and state is None:
        raise InputError(f"checks of {group} need state=..., a function that builds their input")
    table = _GROUPS[group]
    reasons = dict(expected_failures or {})
    claimable = {check.claim for check in table.values() if check.claim}
    for what, given, known in (
        ("expected failure", reasons, set(table)),
        ("claim", claims, claimable),
    ):
        unknown = sorted(set(given) - known)
        if unknown:
            raise InputError(
                f"no {what} {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
    subject = Subject(make, state, name, group)
    return [
        Check(title, rule.run, subject, reasons.get(title, ""))
        for title, rule in table.items()
        if (not rule.claim or rule.claim in claims) and (not rule.named or name)
    ]


def check_prior(make: Callable[[], Any], **options: Any) -> None:
    """Run every check of a prior (see `checks`), and raise one error with all failures.

    Example:
        >>> from unfold.priors import SoftThreshold
        >>> from unfold.testing import check_prior
        >>> check_prior(SoftThreshold, claims=("nonexpansive",))
    """
    _run_all(checks("priors", make, **options))


def check_term(
    make: Callable[[], Any], state: Callable[[], Mapping[str, Tensor]], **options: Any
) -> None:
    """Run every check of a term (see `checks`), and raise one error with all failures.

    Example:
        >>> import torch
        >>> from unfold.terms import Retinex
        >>> from unfold.testing import check_term
        >>> def state():
        ...     return {name: torch.rand(2, 3, 8, 8, dtype=torch.float64) for name in "ZPQ"}
        >>> check_term(lambda: Retinex("Z", reflectance="P", illumination="Q"), state)
    """
    _run_all(checks("terms", make, state=state, **options))


def check_model(make: Callable[[], Any], **options: Any) -> None:
    """Run every check of a model (see `checks`), and raise one error with all failures.

    Example:
        >>> from unfold.models.identity import IdentityModel
        >>> from unfold.testing import check_model
        >>> check_model(IdentityModel)
    """
    _run_all(checks("models", make, **options))


def _run_all(selected: list[Check]) -> None:
    errors = []
    for check in selected:
        try:
            check()
        except SkipTest:
            continue
        except ConformanceError as problem:
            errors.append(str(problem))
    if errors:
        listing = "\n".join(f"- {problem}" for problem in errors)
        raise ConformanceError(f"{len(errors)} of {len(selected)} checks failed:\n{listing}")
