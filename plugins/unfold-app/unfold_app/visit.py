"""One visitor's files, which no other visitor sees and which go when the visitor goes."""

from __future__ import annotations

import secrets
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

_MOST = 64  # visits; of more, the one that began first ends


@dataclass
class Visit:
    """What a visitor has chosen and got.

    Attributes:
        folder: the visitor's own.
        photo: the chosen one, in the folder.
        kernel: of the photo's blur, where it is known.
        restored: what came of the photo last, in the folder.
    """

    folder: Path
    photo: Path | None = None
    kernel: Tensor | None = None
    restored: Path | None = None

    def begin(self, name: str) -> Path:
        """Where the next photo belongs. What came of the one before it is deleted."""
        self.photo = self.kernel = self.restored = None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        return self.folder / name


class Visits:
    """The visits of now, each with a folder whose name cannot be guessed.

    Args:
        folder: of the folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._visits, self._lock = folder, dict[str, Visit](), threading.Lock()

    def of(self, session: str | None) -> Visit:
        """The visit of a session, begun if need be."""
        session = session or ""
        with self._lock:
            if session not in self._visits:
                folder = self._folder / secrets.token_urlsafe(16)
                folder.mkdir()
                self._visits[session] = Visit(folder)
            oldest = next(iter(self._visits)) if len(self._visits) > _MOST else None
            visit = self._visits[session]
        if oldest is not None:
            self.end(oldest)
        return visit

    def end(self, session: str | None) -> None:
        """Delete all that a session has left."""
        with self._lock:
            visit = self._visits.pop(session or "", None)
        if visit is not None:
            shutil.rmtree(visit.folder, ignore_errors=True)

    def restored(self, folder: str, name: str) -> Path | None:
        """The restored photo of the visit that has this folder."""
        with self._lock:
            found = [v.restored for v in self._visits.values() if v.folder.name == folder]
        return next((path for path in found if path and path.name == name), None)
