import pytest
from unfold_template.priors import Ridge

from unfold.testing import checks


@pytest.mark.parametrize(
    "check", checks("priors", Ridge, name="unfold-template", claims=("nonexpansive",)), ids=str
)
def test_ridge(check):
    check()
