"""The page of a trace: one HTML file with everything in it, and the pictures beside it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfold._files import replace_file
from unfold._lock import held
from unfold.imaging import ImageError, Photo, write
from unfold.pages import render

from .scale import Shown
from .trace import Trace

_MARKER = ".unfold-trace"  # says whose folder it is, and is locked


def write_page(trace: Trace, folder: str | os.PathLike[str], *, title: str) -> Path:
    """Write ``index.html`` and the pictures as PNG files.

    Args:
        trace: trace of a photo.
        folder: a folder that is new, empty, or of an earlier trace, whose files are replaced.
        title: title of the page.

    Returns:
        Path of the page, which needs no other file.

    Raises:
        ImageError, OSError: if a file cannot be written, the folder contains other files, or
            another process uses it. The page is written last.
        ImportError: if matplotlib, which draws the curves, is not installed.
    """
    folder = Path(folder)
    with held(folder / _MARKER, ImageError, "writes a trace there"):
        return _write(trace, folder, title)


def _write(trace: Trace, folder: Path, title: str) -> Path:
    compared = {"input": trace.image[0], "output": trace.restoration.image[0]}
    for name, picture in compared.items():
        write(folder / f"{name}.png", Photo(picture.float()))
    captions = ["start" if not k else f"stage {k}" for k in trace.stages()]
    page = render(
        "trace.html",
        title=title,
        trace=trace,
        compared=compared,
        trust=[_row(folder, f"trust-{n.split()[0]}", n, s) for n, s in trace.trust().items()],
        parts=[_row(folder, f"part-{n}", n, shown) for n, shown in trace.parts().items()],
        blocks=[
            _row(folder, f"block-{n}", n, shown, captions) for n, shown in trace.blocks().items()
        ],
        curves=_curves(trace, folder) if trace.history.states else "",
    )
    replace_file(folder / "index.html", page.encode())
    return folder / "index.html"


def _row(
    folder: Path, stem: str, name: str, shown: Shown, captions: Sequence[str] | None = None
) -> dict[str, Any]:
    """Write a row of pictures. Returns its description for the page."""
    figures = []
    for number, picture in enumerate(shown.pictures):
        caption = captions[number] if captions else f"{number + 1}" * (len(shown.pictures) > 1)
        file = "-".join(filter(None, (stem, caption.replace(" ", "-")))) + ".png"
        write(folder / file, Photo(picture))
        figures.append({"file": file, "picture": picture, "caption": caption})
    return {"name": name, "scale": shown.scale, "figures": figures}


def _curves(trace: Trace, folder: Path) -> str:
    """Write the curves as a PNG file. Returns the file in base64."""
    buffer = io.BytesIO()
    trace.history.plot().savefig(buffer, format="png", dpi=110)
    replace_file(folder / "curves.png", buffer.getvalue())
    return base64.b64encode(buffer.getvalue()).decode()
