"""The files of one visitor, which no other visitor can see, and which are deleted afterwards."""

from __future__ import annotations

import secrets
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

_MOST = 64  # largest number of visits; beyond it the oldest one ends


@dataclass
class Visit:
    """The files that a visitor has chosen and received.

    Attributes:
        folder: folder of the visitor.
        photo: the chosen photo, in the folder.
        kernel: the kernel of the photo's blur, if it is known.
        restored: the last restoration of the photo, in the folder.
    """

    folder: Path
    photo: Path | None = None
    kernel: Tensor | None = None
    restored: Path | None = None

    def begin(self, name: str) -> Path:
        """The path for the next photo. The restoration of the previous photo is deleted."""
        self.photo = self.kernel = self.restored = None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        return self.folder / name


class Visits:
    """The current visits, each with a folder whose name cannot be guessed.

    Args:
        folder: parent of these folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._visits, self._lock = folder, dict[str, Visit](), threading.Lock()

    def of(self, session: str | None) -> Visit:
        """The visit of a session; it is created if it does not exist."""
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
        """Delete all files of a session."""
        with self._lock:
            visit = self._visits.pop(session or "", None)
        if visit is not None:
            shutil.rmtree(visit.folder, ignore_errors=True)

    def restored(self, folder: str, name: str) -> Path | None:
        """The restored photo of the visit with this folder."""
        with self._lock:
            found = [v.restored for v in self._visits.values() if v.folder.name == folder]
        return next((path for path in found if path and path.name == name), None)
