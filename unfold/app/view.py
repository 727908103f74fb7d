"""What the page shows, as HTML that holds its own pictures: nothing of it lies on the disk."""

from __future__ import annotations

from html import escape

from torch import Tensor

from unfold.imaging.embed import data_url
from unfold.trace import Shown, Trace

_WIDTH, _SMALL = 1400, 420

STYLE = """
.gradio-container { max-width: 1500px !important }
footer { display: none !important }
.message { margin: 0; padding: .55rem .8rem; border-left: 3px solid #9aa5b1;
  overflow-wrap: anywhere }
.message.bad { border-color: #c0392b; background: rgb(192 57 43 / 9%) }
.pair { position: relative; line-height: 0 }
.pair img { width: 100%; max-height: 72vh; object-fit: contain; margin: 0 }
.pair img + img { position: absolute; inset: 0; height: 100%;
  clip-path: inset(0 0 0 var(--cut, 50%)) }
.wide { width: 100%; margin: .6rem 0 0 }
.download { display: inline-block; margin-top: .6rem; padding: .45rem 1rem; border-radius: 6px;
  background: #2f6690; color: #fff !important; text-decoration: none !important }
.tiles { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)) }
.tiles[hidden] { display: none } .tiles figure { margin: 0 }
.tiles img { width: 100%; margin: 0 } .tiles img.small { image-rendering: pixelated }
.tiles figcaption, .note { font-size: .82rem; opacity: .72 }
.inside h3 { margin: 1.4rem 0 .4rem } .inside pre { overflow-x: auto; font-size: .8rem }
"""
_CUT = "this.previousElementSibling.style.setProperty('--cut', this.value + '%')"
_STAGE = (
    "const all = this.parentElement.querySelectorAll('[data-stage]');"
    "all.forEach((one, i) => { one.hidden = i != this.value });"
    "this.nextElementSibling.textContent = all[this.value].dataset.stage"
)


def message(text: str, *, bad: bool = False) -> str:
    """A line for the visitor."""
    return (
        f'<p class="message{" bad" * bad}" role={"alert" if bad else "status"}>{escape(text)}</p>'
    )


def single(image: Tensor) -> str:
    """A picture ``(3, H, W)`` alone."""
    return f'<div class=pair><img alt="the photo" src="{data_url(image, _WIDTH)}"></div>'


def pair(before: Tensor, after: Tensor, link: str) -> str:
    """Two pictures ``(3, H, W)`` on top of each other with a slider, and where the second lies."""
    images = (
        f'<img alt="{name}" src="{data_url(image, _WIDTH)}">'
        for name, image in (("before", before), ("after", after))
    )
    return (
        f"<div class=pair>{''.join(images)}</div>"
        f'<input class="wide cut" type=range min=0 max=100 value=50 aria-label="before and after" '
        f'oninput="{_CUT}"><div class=note>Left the photo, right the restored one.</div>'
        f'<a class=download href="{escape(link)}" download>Download in full size</a>'
    )


def inside(trace: Trace) -> str:
    """The parts that a photo was restored with, the kernel first, and the stages on a slider."""
    parts = sorted(trace.parts().items(), key=lambda item: "kernel" not in item[0])
    numbers = "".join(f" · {escape(n)} = {value:.4g}" for n, value in trace.numbers().items())
    body = []
    if parts:
        tiles = "".join(
            _tile(name, shown, k) for name, shown in parts for k in range(len(shown.pictures))
        )
        body.append(
            f"<h3>Parts<span class=note>{numbers}</span></h3><div class=tiles>{tiles}</div>"
        )
    if blocks := trace.blocks():
        body.append(f"<h3>Stages</h3>{_stages(trace.stages(), blocks)}")
    text = escape(trace.explanation)
    body.append(f"<details><summary>What the model does</summary><pre>{text}</pre></details>")
    return f"<div class=inside>{''.join(body)}</div>"


def _stages(stages: list[int], blocks: dict[str, Shown]) -> str:
    last = len(stages) - 1
    captions = ["start"] + [f"stage {k} of {stages[-1]}" for k in stages[1:]]
    tiles = "".join(
        f'<div class=tiles data-stage="{caption}"{" hidden" * (i != last)}>'
        + "".join(_tile(name, shown, i) for name, shown in blocks.items())
        + "</div>"
        for i, caption in enumerate(captions)
    )
    return (
        f'<div><input class="wide stage" type=range min=0 max={last} value={last} '
        f'aria-label="stage" oninput="{_STAGE}"><div class=note>{captions[last]}</div>{tiles}</div>'
    )


def _tile(name: str, shown: Shown, number: int) -> str:
    picture = shown.pictures[number]
    small = " class=small" * (picture.shape[-1] < 64)
    return (
        f'<figure><img{small} alt="{escape(name)}" src="{data_url(picture, _SMALL)}">'
        f"<figcaption><b>{escape(name)}</b> {escape(shown.scale)}</figcaption></figure>"
    )
