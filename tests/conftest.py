import os

# Small tensors run faster on one thread, and the two cores are often shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

# Time is measured in benchmarks/; a busy machine must not fail a property.
hypothesis.settings.register_profile("unfold", deadline=None)
hypothesis.settings.load_profile("unfold")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
