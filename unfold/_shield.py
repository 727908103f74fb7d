"""Imports that other people's broken metadata would end."""

from __future__ import annotations

import importlib.metadata
import os
import sys


def shield() -> None:
    """Keep torch and pydantic importable next to a distribution with unreadable metadata.

    As they are imported, both read the entry points of every installed distribution, to find
    extensions of their own, and one file that is not UTF-8 ends their import. Only where there is
    such a file, they are kept from looking; their extensions are then not loaded.
    """
    if "torch" in sys.modules:
        return
    try:
        for distribution in importlib.metadata.distributions():
            distribution.read_text("entry_points.txt")
    except (UnicodeDecodeError, OSError):
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
