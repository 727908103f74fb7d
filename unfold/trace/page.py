"""The page of a trace: one HTML file with everything in it, and the pictures beside it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path

from torch import Tensor

from unfold._files import replace_file
from unfold.imaging import Photo, write
from unfold.imaging.embed import data_url

from .scale import Shown
from .trace import Trace

_WIDTH = 360  # of the pictures in the page; those beside it are whole
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px;
  padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem }
h3 { font-size: 1rem; margin: 1.1rem 0 .2rem } .note { color: #666; font-weight: normal }
.row { display: flex; gap: .5rem; overflow-x: auto } figure { margin: 0; flex: none }
figure img { display: block; width: 300px }
figure.small img { width: 168px; image-rendering: pixelated }
figcaption { color: #666; font-size: .85rem }
.parts { display: flex; flex-wrap: wrap; gap: .3rem 1rem } .parts > div { max-width: 100% }
.curves { width: 100% } pre { overflow-x: auto; background: #f4f4f4; padding: 1rem }
.pair { position: relative; width: min(100%, 760px) } .pair img { display: block; width: 100% }
.pair img + img { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--cut, 50%)) }
input[type=range] { width: min(100%, 760px) }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 }
  pre { background: #222 } .curves { background: #fff } }
"""
_SLIDER = "this.previousElementSibling.style.setProperty('--cut', this.value + '%')"


def write_page(trace: Trace, folder: str | os.PathLike[str], *, title: str) -> Path:
    """Write ``index.html`` and the pictures as PNG files.

    Args:
        trace: of a photo.
        folder: made if need be. Files of the same names in it are replaced.
        title: over the page.

    Returns:
        The page's path. It needs no other file.

    Raises:
        ImageError, OSError: a file cannot be written.
        ImportError: matplotlib, which draws the curves, is not installed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    body = [f"<h1>{escape(title)}</h1>", _pair(trace, folder)]
    numbers = "".join(f" · {escape(n)} = {value:.4g}" for n, value in trace.numbers().items())
    body.append(f"<h2>Parts <span class=note>{numbers}</span></h2>")
    rows = [_row(folder, f"part-{n}", n, shown) for n, shown in trace.parts().items()]
    body += ["<div class=parts>", *(f"<div>{row}</div>" for row in rows), "</div>"]
    if trace.ledger.states:
        body.append("<h2>Stages</h2>")
        captions = ["start" if not k else f"stage {k}" for k in trace.stages()]
        body += [
            _row(folder, f"block-{name}", name, shown, captions)
            for name, shown in trace.blocks().items()
        ]
        body += ["<h2>Curves</h2>", _curves(trace, folder)]
        body += ["<h2>Ledger</h2>", f"<pre>{escape(str(trace.ledger))}</pre>"]
    else:
        body.append("<p>No stages: this model is not unrolled, or is several in a row.</p>")
    body += ["<h2>What it does</h2>", f"<pre>{escape(trace.explanation)}</pre>"]
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</html>\n"
    )
    replace_file(folder / "index.html", page.encode())
    return folder / "index.html"


def _pair(trace: Trace, folder: Path) -> str:
    pictures: Mapping[str, Tensor] = {
        "input": trace.image[0], "output": trace.restoration.image[0]
    }  # fmt: skip
    for name, picture in pictures.items():
        write(folder / f"{name}.png", Photo(picture.float()))
    images = "".join(
        f'<img alt="{name}" src="{data_url(picture, 1024)}">' for name, picture in pictures.items()
    )
    return (
        f"<div class=pair>{images}</div>"
        f'<input type=range aria-label="where the output begins" value=50 oninput="{_SLIDER}">'
        '<p class=note>Left the input, right the output: <a href="input.png">input.png</a>, '
        '<a href="output.png">output.png</a>.</p>'
    )


def _row(
    folder: Path, stem: str, name: str, shown: Shown, captions: list[str] | None = None
) -> str:
    figures = []
    for number, picture in enumerate(shown.pictures):
        caption = captions[number] if captions else f"{number + 1}" * (len(shown.pictures) > 1)
        ending = caption.replace(" ", "-") or ""
        file = f"{stem}{'-' * bool(ending)}{ending}.png"
        write(folder / file, Photo(picture))
        small = " class=small" if picture.shape[-1] < 64 else ""
        figures.append(
            f'<figure{small}><a href="{escape(file)}"><img alt="{escape(name)}" loading=lazy '
            f'src="{data_url(picture, _WIDTH)}"></a><figcaption>{caption}</figcaption></figure>'
        )
    note = f"<span class=note>{escape(shown.scale)}</span>"
    return f"<h3>{escape(name)} {note}</h3><div class=row>{''.join(figures)}</div>"


def _curves(trace: Trace, folder: Path) -> str:
    buffer = io.BytesIO()
    trace.ledger.plot().savefig(buffer, format="png", dpi=110)
    replace_file(folder / "curves.png", buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class=curves alt="curves over the stages" src="data:image/png;base64,{data}">'
