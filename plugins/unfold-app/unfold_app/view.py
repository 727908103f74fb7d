"""The HTML of the page, with embedded images: no image is stored on the disk."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from unfold.pages import render
from unfold.trace import Trace

_render = partial(render, package=__package__)


def style() -> str:
    """The style sheet."""
    return _render("style.css")


def message(text: str, *, bad: bool = False) -> str:
    """A message for the visitor."""
    return _render("message.html", text=text, bad=bad)


def single(image: Tensor) -> str:
    """One image ``(3, H, W)``."""
    return _render("single.html", picture=image)


def pair(before: Tensor, after: Tensor, link: str) -> str:
    """Two images ``(3, H, W)`` on top of each other with a slider, and a link to the second."""
    return _render("restored.html", compared={"before": before, "after": after}, link=link)


def inside(trace: Trace) -> str:
    """The reliability of the result; the parts of the restoration, with the kernel first; and the
    stages with a slider."""
    stages = trace.stages()
    return _render(
        "inside.html",
        trust=trace.trust(),
        shares=trace.shares(),
        parts=sorted(trace.parts().items(), key=lambda part: "kernel" not in part[0]),
        numbers=trace.numbers(),
        blocks=trace.blocks(),
        captions=["start", *(f"stage {k} of {stages[-1]}" for k in stages[1:])],
        explanation=trace.explanation,
    )
