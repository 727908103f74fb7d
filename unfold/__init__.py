"""Declare an augmented Lagrangian; get an unrolled image-restoration network.

    import unfold as uf
    restored = uf.restore("photo.jpg")

    x, z = uf.blocks("x z")
    y, k = uf.data("y k")
    L = uf.sq(uf.conv(k, x) - y) / 2 + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
    print(L.explain())

See `unfold.formula` for the notation, and `unfold.core` for the derivation of the updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from unfold.errors import InputError

from ._listing import list
from ._shield import shield
from .errors import UnfoldError
from .registry.catalog import ComponentError

shield()

if TYPE_CHECKING:
    from .core.certificate import certify
    from .estimators.kernel_estimate import estimate_kernel
    from .formula import (
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
    from .restoration.any_image import restore
    from .restorer import Restoration, Restorer

__all__ = [
    "ComponentError", "Objective", "Restoration", "Restorer", "UnfoldError", "blocks", "box",
    "certify", "constraint", "conv", "create", "create_model", "data", "downsample",
    "estimate_kernel", "filter_flow", "from_dict", "grad", "l0", "l1", "linear", "list",
    "penalties", "poisson", "prior", "restore", "ridge", "simplex", "sq", "tv",
]  # fmt: skip


def create_model(
    name: str | Mapping[str, Any], *, pretrained: bool = False, **options: Any
) -> Restorer:
    """Create a restoration model by name.

    Without ``pretrained``, a model that requires training has random weights, and a warning is
    issued.

    Args:
        name: one of ``unfold.list("models")``; several of them, ``"first -> second"``, each applied
            to the output of the previous one; or a config: a mapping with the name under ``kind``
            and options, or the path of a .json or .toml file with such a mapping.
        pretrained: whether to load the weights that come with the library
            (`unfold.models.pretrained`).
        options: options of the model, e.g. ``create_model("jude", prior="ircnn", K=3)``.

    Raises:
        ComponentError: if there is no such model (the message lists the closest names); with
            ``pretrained``, if no weights of the model are shipped, or they do not fit the options;
            if options are invalid (the message has all errors).

    Example:
        >>> import torch
        >>> import unfold
        >>> brighten = unfold.create_model("zero-dce", pretrained=True)
        >>> dark = torch.full((1, 3, 16, 16), 0.1)
        >>> bool(brighten(dark).image.mean() > 2 * dark.mean())
        True
    """
    from .models.cascade import config_of
    from .registry.spec import spec_of

    if "kind" in options:
        raise InputError(f"kind={options['kind']!r}: the model's name is the first argument")
    config = config_of(name)
    config |= options
    if not pretrained:
        model = spec_of("models", config).build()
        _warn_if_untrained("model", name, model)
        return model
    from .models.pretrained import pretrained_models, with_weights

    model = spec_of("models", with_weights(config)).build()
    if model.requires_training:
        raise ComponentError(
            f"{name}: no trained weights of it are shipped; models with trained weights are "
            f"{', '.join(pretrained_models())} (or train it: unfold list recipes)"
        )
    return model


def _warn_if_untrained(kind: str, name: str | Mapping[str, Any], component: Any) -> None:
    if not getattr(component, "requires_training", False):
        return
    import sys
    import warnings

    remedy = "pass pretrained=True if weights of it are shipped"
    if kind != "model":
        remedy = "load weights of your own"
    within = sys._getframe(2).f_globals is globals()  # (called by `create`)
    warnings.warn(
        f"{name}: the {kind} requires training and has random weights: train it, or {remedy}",
        stacklevel=4 if within else 3,
    )


def create(group: str, name: str, *inputs: Any, pretrained: bool = False, **options: Any) -> Any:
    """Create an installed component by name.

    A component that requires training has random weights, and a warning is issued, unless an option
    loads weights.

    Args:
        group: ``"models"``, ``"priors"``, ``"terms"``, ``"estimators"``, ``"losses"``,
            ``"metrics"``, ``"degradations"`` or ``"datasets"``.
        name: one of ``unfold.list(group)``.
        inputs: positional arguments of the component: the number of channels of a prior (default:
            3), the blocks of a term.
        pretrained: whether to load the weights of a model that come with the library.
        options: options of the component.

    Raises:
        ComponentError: if there is no such component (the message lists the closest names), or
            options are invalid (the message has all errors); or ``pretrained`` is set and the group
            is not ``"models"``.

    Example:
        >>> import unfold
        >>> unfold.create("priors", "total-variation", iterations=5)
        TotalVariation()
    """
    if group == "models":
        return create_model(name, pretrained=pretrained, **options)
    if pretrained:
        raise ComponentError(f"pretrained weights are those of models, not of {group}")
    from .registry.catalog import singular
    from .registry.spec import spec_of

    if group == "priors" and not inputs:
        inputs = (3,)
    component = spec_of(group, {"kind": name, **options}).build(*inputs)
    _warn_if_untrained(singular(group), name, component)
    return component


def __getattr__(name: str) -> Any:
    if name in ("Restoration", "Restorer"):  # (these import torch, which `unfold list` must not do)
        from . import restorer

        return getattr(restorer, name)
    if name == "certify":
        from .core.certificate import certify

        return certify
    if name == "estimate_kernel":
        from .estimators import kernel_estimate

        return kernel_estimate.estimate_kernel
    if name == "restore":
        from .restoration.any_image import restore

        return restore
    if name in __all__:
        from . import formula

        return getattr(formula, name)
    from difflib import get_close_matches

    close = get_close_matches(name, __all__, n=1)
    remedy = f": did you mean {close[0]!r}?" if close else ""
    raise AttributeError(f"module 'unfold' has no attribute {name!r}{remedy}")


def __dir__() -> Iterable[str]:
    return {*globals(), *__all__}
