"""What a declaration cannot determine, and what removes it, as `explain` tells it."""

import pytest
from systems import JUDE_ORDER, jude

from unfold.core import Constraint, Equal, Lagrangian, Quadratic, Regularizer
from unfold.core.ambiguity import ambiguities
from unfold.priors import Box, Ridge, Simplex, SoftThreshold, TotalVariation
from unfold.terms import Convolution, FilterFlow, Gradient, MaskedConvolution, Retinex

BLUR = Convolution("I", kernel="H", observed="X")
ORDER = ("I", "H", "K", "U")


def blind(*others, blur=BLUR):
    return Lagrangian(Quadratic(blur), Constraint(Equal("H", "K"), penalty="ρ", dual="U"), *others)


def remedies(lagrangian, order=ORDER):
    return {found.kind: remedy for found, remedy in ambiguities(lagrangian, order)}


@pytest.mark.parametrize(
    "blur",
    [
        BLUR,
        FilterFlow("I", kernels="H", maps="W", observed="X"),
        MaskedConvolution("I", kernel="H", mask="T", observed="X"),
    ],
    ids=lambda blur: type(blur).__name__,
)
def test_a_blur_of_unknown_kernel_leaves_scale_shift_and_no_blur(blur):
    nothing = dict.fromkeys(("scale", "shift", "no blur"), "nothing removes it")
    assert remedies(blind(blur=blur)) == nothing
    assert remedies(blind(blur=blur), ("I",)) == {}
    assert remedies(blind(blur=blur), ("H", "K", "U")) == {}


def test_priors_say_what_they_remove_also_across_a_split():
    assert remedies(blind(Regularizer("K", Simplex(support=9)))) == {
        "scale": "Simplex on K: entries at least 0, sum 1",
        "shift": "Simplex on K: only partly, by the 9×9 support",
        "no blur": "nothing removes it",
    }
    assert remedies(blind(Regularizer("K", Simplex())))["shift"] == "nothing removes it"
    ridge = remedies(blind(Regularizer("K", Ridge())))
    assert ridge["no blur"] == "Ridge on K: a point costs most"
    assert ridge["scale"] == "left to the priors on K"
    box = remedies(blind(Regularizer("K", Box(low=0, high=0.5))))
    assert box["scale"] == "Box on K: only partly, by the bounds [0, 0.5]"
    assert box["shift"] == "nothing removes it"


def test_data_remove_all():
    removed = dict.fromkeys(("scale", "shift", "no blur"), "removed by H − K")
    assert remedies(blind(), ("I", "H")) == removed
    known = Convolution("S", kernel="K", observed="Y")
    assert remedies(blind(Quadratic(known)))["shift"] == "removed by K⊗S − Y"
    # The gradient of I is a block itself, and shifts along.
    edges = Constraint(Gradient("I", gradient="G"), penalty="w", dual="D")
    assert remedies(blind(edges), (*ORDER, "G", "D"))["shift"] == "nothing removes it"


def test_a_product_of_two_blocks_leaves_its_scale():
    retinex = Quadratic(Retinex("Z", reflectance="P", illumination="Q"))
    assert remedies(Lagrangian(retinex), ("P", "Q")) == {"scale": "nothing removes it"}
    assert remedies(Lagrangian(retinex), ("Z", "P")) == {}
    assert remedies(Lagrangian(retinex, Quadratic(Equal("Q", "A"))), ("P", "Q")) == {
        "scale": "removed by Q − A"
    }
    left = jude(Regularizer("R", TotalVariation()), Regularizer("L", SoftThreshold()))
    assert remedies(left, JUDE_ORDER) == {"scale": "left to the priors on R, L"}


def test_explain_has_a_section_only_where_something_is_not_determined():
    text = blind(Regularizer("K", Simplex(support=9))).explain(ORDER)
    assert text.endswith(
        "held fixed: X\n"
        "\n"
        "not determined:\n"
        "    scale and sign between I and H  Simplex on K: entries at least 0, sum 1\n"
        "    shift between I and H           Simplex on K: only partly, by the 9×9 support\n"
        "    no blur: H a point, I = X       nothing removes it"
    )
    assert "not determined" not in blind().explain(("I",))
    assert "not determined" not in Lagrangian(Quadratic(BLUR)).explain()
