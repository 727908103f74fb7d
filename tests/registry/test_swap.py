"""Which options hold a component, and what can be put in its place."""

import pytest

import unfold
from unfold.registry import ComponentError
from unfold.registry.spec import spec_type
from unfold.registry.swap import Swap, SwapError, held_groups


@pytest.mark.parametrize(
    ("model", "held"),
    [
        (
            "plug-and-play",
            {
                "prior": "priors",
                "blur": "terms",
                "noise": "estimators",
                "hyper_parameters": "estimators",
                "kernel_estimator": "estimators",
            },
        ),
        ("identity", {}),
        ("cascade", {}),
    ],
)
def test_options_that_hold_a_component_are_found_inside_unions(model, held):
    assert held_groups(spec_type("models", model)) == held


def test_options_that_may_be_none_hold_a_component_all_the_same():
    held = held_groups(spec_type("models", "jude-small"))
    assert held["light_prior"] == "priors"
    assert held["denoiser"] == held["enhancer"] == held["exposure"] == "estimators"
    assert held["kernel_estimator"] == held["hyper_parameters"] == "estimators"
    assert "K" not in held


def test_a_pattern_matches_the_installed_components():
    found = Swap.parse("prior = t*-v*").candidates("priors")
    assert [(c.name, c.config) for c in found] == [("total-variation", {"kind": "total-variation"})]
    names = {c.name for c in Swap.parse("prior=*").candidates("priors")}
    assert names == set(unfold.list("priors"))


def test_a_name_or_a_config_is_one_component():
    (named,) = Swap.parse("prior=box").candidates("priors")
    assert (named.name, named.config) == ("box", {"kind": "box"})
    text = 'prior={"kind": "unfold-imaging:box", "high": 2}'
    (configured,) = Swap.parse(text).candidates("priors")
    assert configured.name == "box"
    assert configured.config == {"kind": "unfold-imaging:box", "high": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prior", "--swap prior: must be OPTION=NAME"),
        ("=box", "--swap =box: must be OPTION=NAME"),
        ("prior=", "--swap prior=: must be OPTION=NAME"),
        ("prior=zz*", "--swap prior=zz*: no prior matches; installed: .*total-variation"),
        ("prior={", "is not a config"),
        ('prior={"high": 2}', 'it has no "kind"'),
    ],
)
def test_what_is_no_swap_is_said(text, message):
    with pytest.raises(SwapError, match=message.replace("*", "[*]", 1)):
        Swap.parse(text).candidates("priors")


def test_an_unknown_name_has_the_closest():
    with pytest.raises(ComponentError, match="did you mean ircnn"):
        Swap.parse("prior=irc").candidates("priors")
