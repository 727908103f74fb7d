import pytest
import torch
from unfold_template.terms import Masked

from unfold.testing import checks


def state():
    """Every entry that the term reads: float64, two images."""
    image = torch.rand(2, 3, 6, 7, dtype=torch.float64)
    mask = (torch.rand(2, 1, 6, 7) > 0.3).double()
    return {"x": image, "M": mask, "Y": mask * image}


@pytest.mark.parametrize(
    "check",
    checks("terms", lambda: Masked("x", mask="M", observed="Y"), state=state),
    ids=str,
)
def test_masked(check):
    check()
