"""The conformance kit: checks of components, for plugins and built-in components.

In a plugin's tests, one line::

    from unfold.testing import checks

    @pytest.mark.parametrize("check", checks("priors", MyPrior), ids=str)
    def test_my_prior(check):
        check()

Or in one call: ``check_prior(MyPrior)``, ``check_term(make, state)``, ``check_model(make)``.
"""

from .check import Check, ConformanceError, check_model, check_prior, check_term, checks

__all__ = ["Check", "ConformanceError", "check_model", "check_prior", "check_term", "checks"]
