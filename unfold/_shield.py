"""Protection of imports from unreadable metadata of other distributions."""

from __future__ import annotations

import importlib.metadata
import os
import sys


def shield() -> None:
    """Keep torch and pydantic importable if the metadata of a distribution is unreadable.

    During import, both read the entry points of all installed distributions to find extensions, and
    fail if one of these files is not UTF-8. If there is such a file, this search is disabled, and
    their extensions are not loaded.
    """
    if "torch" in sys.modules:
        return
    try:
        for distribution in importlib.metadata.distributions():
            distribution.read_text("entry_points.txt")
    except (UnicodeDecodeError, OSError):
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
