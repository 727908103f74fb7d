"""The conformance kit: what authors of plugins run, and what the built-ins run.

In a plugin's tests, one line::

    from unfold.testing import checks

    @pytest.mark.parametrize("check", checks("priors", MyPrior), ids=str)
    def test_my_prior(check):
        check()

Or all at once: ``check_prior(MyPrior)``, ``check_term(make, state)``, ``check_model(make)``.
"""

from .check import Check, ConformanceError, check_model, check_prior, check_term, checks

__all__ = ["Check", "ConformanceError", "check_model", "check_prior", "check_term", "checks"]
