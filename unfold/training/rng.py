"""Random number generators: seeded for each step, without an effect on the caller's."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def seed_all(seed: int, step: int, rank: int) -> None:
    """Seed torch, NumPy and Python for a step of a process."""
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    number = int.from_bytes(digest[:4], "big")
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


@contextlib.contextmanager
def own_rng() -> Iterator[None]:
    """A context that restores the state of the caller's generators."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        yield
    np.random.set_state(numpy_state)
    random.setstate(python_state)
