"""Web pages from Jinja2 templates, which escape all text that is put into them.

Templates are those of the folder ``templates``, and those of a package that extends them.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from torch import Tensor

from unfold.imaging import jpeg
from unfold.imaging.photo import shrink

__all__ = ["render"]


def render(template: str, /, *, package: str | None = None, **values: Any) -> str:
    """The text of a template with values in it, escaped as HTML demands.

    In a template ``{{ picture | data_url(360) }}`` holds a picture, ``(3, H, W)`` in [0, 1], made
    smaller to a width of 360 pixels.

    Args:
        template: a file in the folder ``templates`` of `unfold`, e.g. ``"trace.html"``.
        package: whose own folder ``templates`` is searched first, e.g. ``"unfold_app"``.
        values: by the names that the template uses.

    Raises:
        jinja2.TemplateNotFound: no such file.
        jinja2.UndefinedError: the template uses a name that has no value.

    Example:
        >>> from unfold.pages import render
        >>> print(render("base.html", title="A < B").splitlines()[0])
        <!doctype html><html lang=en><meta charset=utf-8><title>A &lt; B</title>
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str | None) -> Environment:
    packages = [package] if package else []
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "unfold")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_url"] = data_url
    return environment


def data_url(picture: Tensor, width: int) -> str:
    """A photo ``(3, H, W)`` in [0, 1] as a data URL, scaled down to a width."""
    if picture.shape[-1] > width:
        height = max(1, round(picture.shape[-2] * width / picture.shape[-1]))
        picture = shrink(picture.float(), (height, width))
    samples = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.encode(samples, None)).decode()
