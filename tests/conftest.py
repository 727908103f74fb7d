import os
import sys
from pathlib import Path

# Small tensors run faster on one thread, and the two cores are often shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Otherwise torch.compile starts processes of its own that import torch, for graphs this small.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# Where Python keeps no bytecode, every process compiles what it imports anew, which takes
# four seconds for torch alone. Keep it, but apart: pytest's workers and what tests start find it.
if sys.dont_write_bytecode:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bytecode = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = bytecode
    sys.dont_write_bytecode = False

import random

import hypothesis
import numpy as np
import pytest
import torch

# Time is measured in benchmarks/; a busy machine must not fail a property.
hypothesis.settings.register_profile("unfold", deadline=None, print_blob=True)
hypothesis.settings.load_profile("unfold")


SEED = int(os.environ.get("UNFOLD_SEED", "0"))


def pytest_report_header():
    return f"seed: {SEED} (UNFOLD_SEED) before each test; Hypothesis prints how to repeat a failure"


@pytest.fixture(autouse=True)
def _seed():
    random.seed(SEED), np.random.seed(SEED), torch.manual_seed(SEED)
