import pytest
from unfold_template.models import Gamma

from unfold.testing import checks


@pytest.mark.parametrize("check", checks("models", Gamma, name="unfold-template"), ids=str)
def test_gamma(check):
    check()
