"""Cases that go wrong on purpose, each in its way, to see that the fuzzer sees it."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

WAYS = ("works", "refused", "error", "hangs", "large", "ends")


def make(rng: random.Random) -> str:
    """One of them."""
    return rng.choice(WAYS)


def attempt(case: str, folder: Path) -> bool:
    """Do it."""
    if case == "error":
        raise TypeError("a bare one")
    if case == "hangs":
        time.sleep(60)
    if case == "large":
        bytearray(310 << 20)
    if case == "ends":
        os._exit(3)
    return case == "works"
