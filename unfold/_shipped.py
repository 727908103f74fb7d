"""Recipes: TOML files of the library, found by name, and those of users, found by path."""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


@dataclass(frozen=True)
class ShippedFiles:
    """The recipes in a package's folder ``recipes``.

    Attributes:
        package: name of the package.
        error: error to raise, with a message of one line, if a recipe does not exist or cannot be
            read.
    """

    package: str
    error: type[Exception]

    def names(self) -> list[str]:
        found = (path.name for path in self._folder().iterdir())
        return sorted(name.removesuffix(".toml") for name in found if _is_path(name))

    def text(self, name: str) -> str:
        """The text of the recipe with this name, to copy and edit."""
        there = self.names()
        if name not in there:
            close = difflib.get_close_matches(name, there, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(there)}"
            raise self.error(f"no recipe {name!r}; {hint} (a file of your own ends in .toml)")
        return self._folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")

    def read(self, name: str | os.PathLike[str]) -> dict[str, Any]:
        """The contents of the recipe with this name, or of a ``.toml`` file."""
        try:
            own = _is_path(str(name))
            return tomllib.loads(Path(name).read_text("utf-8") if own else self.text(str(name)))
        except self.error:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise self.error(f"{name}: cannot be read as a recipe ({reason})") from error

    def _folder(self):
        top, *rest = self.package.split(".")  # (importing the package itself may take long)
        return files(top).joinpath("/".join((*rest, "recipes")))


def _is_path(name: str) -> bool:
    return name.endswith(".toml")
