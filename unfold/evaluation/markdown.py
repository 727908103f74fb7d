"""Tables that read well as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from unfold._files import one_line


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns. The rows have equal lengths, and the first contains the heads.

    Bars and line breaks in cells are escaped.
    """
    cells = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [" | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    rule = "|".join("-" * (w + 2) for w in widths)
    return "\n".join((f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])))
