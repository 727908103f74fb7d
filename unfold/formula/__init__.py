"""Objectives as formulas: blocks, data, linear maps, squares, constraints and priors."""

from .notation import (
    Objective,
    blocks,
    box,
    constraint,
    conv,
    data,
    downsample,
    filter_flow,
    from_dict,
    grad,
    l0,
    l1,
    linear,
    penalties,
    poisson,
    prior,
    ridge,
    simplex,
    sq,
    tv,
)

__all__ = [
    "Objective", "blocks", "box", "constraint", "conv", "data", "downsample", "filter_flow",
    "from_dict", "grad", "l0", "l1", "linear", "penalties", "poisson", "prior", "ridge", "simplex",
    "sq", "tv",
]  # fmt: skip
