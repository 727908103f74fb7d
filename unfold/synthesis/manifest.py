"""The manifest of a synthesized data set: the origin of every picture."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfold._files import held, replace_file
from unfold.errors import UnfoldError

NAME = "manifest.jsonl"
_LOCK = ".unfold-synthesis"
_FIELDS = {"index", "source", "size", "files", "steps"}  # of a photo's line


class ManifestError(UnfoldError, ValueError):
    """Raised if a folder is not a data set, or that of another run.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.synthesis import Manifest
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = Manifest(Path(folder), {"recipe": {}, "seed": 0}).begin()
        ...     Manifest(Path(folder), {"recipe": {}, "seed": 1}).begin()
        Traceback (most recent call last):
            ...
        unfold.synthesis.manifest.ManifestError: ...: holds another run (seed 0 there, 1 here); ...
    """


@dataclass(frozen=True)
class Manifest:
    """A JSON-lines file: the run in the first line, then one line for each synthesized photo.

    A line is added when the files of a photo are complete, so that the photos of the manifest exist
    however a run ends. A truncated line is ignored.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.synthesis import Manifest
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = Manifest(Path(folder, "set"), {"recipe": {}, "seed": 0})
        ...     with manifest.held():
        ...         before = manifest.begin()
        ...     before, sorted(path.name for path in manifest.folder.iterdir())
        ({}, ['.unfold-synthesis', 'manifest.jsonl'])
    """

    folder: Path
    run: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / NAME

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Create the folder if necessary and lock it for this process.

        Raises:
            ManifestError: if another process uses it, or it contains other files.
        """
        # (Not the manifest: that is put in place anew now and then.)
        with held(self.folder / _LOCK, ManifestError, "fills it", mark=NAME):
            yield

    def begin(self) -> dict[int, dict[str, Any]]:
        """Begin or resume a run. Returns the existing lines, by index.

        Raises:
            ManifestError: if the folder contains another run.
        """
        if not self.path.exists():
            self._write([dict(self.run)])
            return {}
        there, done = read_manifest(self.folder)
        differing = [key for key in self.run if there.get(key) != self.run[key]]
        if differing:
            message = "; ".join(
                _difference(key, there.get(key), self.run[key]) for key in differing
            )
            raise ManifestError(
                f"{self.folder}: holds another run ({message}); choose a new folder"
            )
        self._write([dict(self.run), *done.values()])  # without a line that was cut short
        return done

    def check_there(self) -> None:
        """Check that the manifest and the folder still exist.

        Raises:
            ManifestError: if it was removed.
        """
        if not self.path.exists():
            raise ManifestError(
                f"{self.path}: was removed during the run; run the same command again"
            )

    def add(self, line: Mapping[str, Any]) -> None:
        """Add the line of a photo."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_dump(line) + "\n")

    def end(self) -> None:
        """Sort the lines, which were added in the order in which the photos were complete."""
        self.check_there()
        there, done = read_manifest(self.folder)
        self._write([there, *(done[index] for index in sorted(done))])

    def _write(self, lines: list[dict[str, Any]]) -> None:
        replace_file(self.path, "".join(_dump(line) + "\n" for line in lines).encode())


def read_manifest(folder: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """The run, and the line of each photo by its index.

    Raises:
        ManifestError: if there is no manifest, or it does not begin with a run.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.synthesis import Manifest, read_manifest
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Manifest(Path(folder), {"recipe": {}, "seed": 7}).begin()
        ...     run, lines = read_manifest(Path(folder))
        >>> run["seed"], lines
        (7, {})
    """
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{folder / NAME}: cannot be read ({error})") from error
    read = [line for line in map(_load, lines) if isinstance(line, dict)]
    if not read or "recipe" not in read[0]:
        raise ManifestError(f"{folder / NAME}: does not begin with a run; choose a new folder")
    return read[0], {x["index"]: x for x in read[1:] if x.keys() >= _FIELDS}


def _dump(line: Mapping[str, Any]) -> str:
    return json.dumps(line, allow_nan=False)


def _load(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _difference(key: str, there: Any, here: Any) -> str:
    if key == "photos":
        return "of other photos, or of photos that have changed since"
    if isinstance(there, int | str) and isinstance(here, int | str):
        return f"{key} {there} there, {here} here"
    return f"another {key}"
