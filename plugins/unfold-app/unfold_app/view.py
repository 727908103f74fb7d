"""What the page shows, as HTML that holds its own pictures: nothing of it lies on the disk."""

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
    """A line for the visitor."""
    return _render("message.html", text=text, bad=bad)


def single(image: Tensor) -> str:
    """A picture ``(3, H, W)`` alone."""
    return _render("single.html", picture=image)


def pair(before: Tensor, after: Tensor, link: str) -> str:
    """Two pictures ``(3, H, W)`` on top of each other with a slider, and where the second lies."""
    return _render("restored.html", compared={"before": before, "after": after}, link=link)


def inside(trace: Trace) -> str:
    """How far the result can be trusted, the parts that a photo was restored with, the kernel
    first, and the stages on a slider."""
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
