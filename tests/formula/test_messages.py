"""What is written wrong is refused where it is written, with a remedy."""

import numpy as np
import pytest
import torch

import unfold as uf

x, z = uf.blocks("x z")
y, k = uf.data("y k")
w, v = uf.penalties("w v")
D = uf.sq(uf.conv(k, x) - y) / 2
L = D + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
TENSOR, ARRAY = torch.ones(3, 4), np.ones(3)
PHOTO, KERNEL = torch.rand(1, 3, 8, 9), torch.ones(1, 1, 3, 3) / 9


def check(line, error, fragment):
    with pytest.raises(error) as raised:
        eval(line, globals())
    assert fragment in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("line", "error", "fragment"),
    [
        # Weights and names
        ("-0.1 * uf.tv(z)", ValueError, "the weight of a term is -0.1: must be a finite number"),
        ("float('nan') * uf.tv(z)", ValueError, "the weight of a term is nan"),
        ("-w * uf.tv(z)", TypeError, "only multiplies terms and numbers"),
        ("-1 * w * uf.tv(z)", ValueError, "the weight of a term is -1"),
        ("uf.constraint(x - z, -1)", ValueError, "the penalty of a constraint is -1.0: must be"),
        ("uf.constraint(x - z, 0)", ValueError, "must be a finite number, positive"),
        ("uf.constraint(x - z, [1])", TypeError, "a positive number, or the name of one, got [1]"),
        ("uf.constraint(x - z, 'x')", ValueError, "'x' is block and penalty: give one of them"),
        ("D + uf.constraint(x - z, 'y')", ValueError, "'y' is data and penalty: give one of them"),
        ("uf.constraint(x - z, 'start')", ValueError, "an argument of solve: call it start_1"),
        ("uf.constraint(x - z, '2 w')", ValueError, "use letters, digits and underscores"),
        ("uf.blocks('lambda')", ValueError, "no keyword of Python"),
        ("uf.blocks('x 2x')", ValueError, "'2x' cannot be the name"),
        ("uf.data('start')", ValueError, "an argument of solve: call it start_1"),
        ("uf.penalties('tolerance')", ValueError, "an argument of solve"),
        ("uf.blocks('maximum')", ValueError, "an argument of solve"),
        ("uf.data('self')", ValueError, "an argument of solve"),
        # Priors
        (
            "(L + uf.l1(z)).explain()",
            ValueError,
            'constraint(z - z_2, "rho"); Objective.split()',
        ),
        ("uf.tv(z).explain()", ValueError, "add at least one square, sq(...)"),
        ("uf.tv(TENSOR)", TypeError, "got a tensor of shape (3, 4)"),
        # Terms and residuals
        ("(uf.conv(k, x) - y) + uf.tv(z)", TypeError, "is a residual: put it into sq(...)"),
        ("uf.tv(z) + (uf.conv(k, x) - y)", TypeError, "put a residual into sq(...)"),
        ("x - uf.tv(z)", TypeError, "is a residual: put it into sq(...)"),
        ("D + 3", TypeError, "3 is added to an objective"),
        ("-D", TypeError, "has no minimum"),
        ("3 - D", TypeError, "has no minimum"),
        # Operators
        ("TENSOR * x", TypeError, "a tensor of shape (3, 4) is multiplied by an expression"),
        ("ARRAY * x", TypeError, "an array of shape (3,) is multiplied by an expression"),
        ("ARRAY * uf.tv(z)", TypeError, "a term is multiplied by an array of shape (3,)"),
        ("ARRAY * w", TypeError, "the penalty w is multiplied by an array of shape (3,)"),
        ("torch.tensor(0.1) * uf.tv(z)", TypeError, "a term is multiplied by a tensor of shape ()"),
        ("'a' * uf.tv(z)", TypeError, "a term is multiplied by 'a': multiply it by a number, or"),
        ("uf.sq(x) * uf.sq(x)", TypeError, "a term is multiplied by minimize ‖x‖²"),
        ("L * 2", TypeError, "the constraint x − z = 0 is multiplied"),
        ("D / 0", TypeError, "a term is divided by 0: divide by a number, not 0"),
        ("D / w", TypeError, "a term is divided by Penalty(name='w'"),
        ("D**2", TypeError, "multiplied by numbers and penalties"),
        ("w + v", TypeError, "the penalty w only multiplies terms and numbers"),
        ("1 - w", TypeError, "the penalty w only multiplies terms and numbers"),
        ("1 / w", TypeError, "the penalty w only multiplies terms and numbers"),
        ("w / v", TypeError, "the penalty w is divided by Penalty(name='v'"),
        ("x**2", TypeError, "x: an expression is linear in each block"),
        ("1 / x", TypeError, "a square is sq(...)"),
        ("x @ y", TypeError, "a matrix linear(...)"),
        ("TENSOR @ x", TypeError, "a matrix linear(...)"),
    ],
)
def test_a_line_that_is_wrong_is_refused(line, error, fragment):
    check(line, error, fragment)


def test_a_term_alone_is_an_objective():
    assert isinstance(D, uf.Objective)
    solution = D.solve(y=PHOTO, k=KERNEL)
    torch.testing.assert_close(solution[x], uf.Objective(D).solve(y=PHOTO, k=KERNEL)[x])
    assert D.unroll(2, output=x)(y=PHOTO, k=KERNEL).shape == PHOTO.shape
    assert D.blocks == D.order == ("x",)
    assert D.data == ("k", "y")
    assert "Fourier-diagonal" in D.explain()
    assert uf.from_dict(D.to_dict()).explain() == D.explain()
    assert (uf.sq(x - y) + uf.l1(uf.grad(x))).split().blocks == ("x", "z1")
    assert uf.l1(uf.grad(x)).split().blocks == ("x", "z1")


def test_numbers_of_any_library_and_sums_of_any_order_are_accepted():
    parts = uf.sq(x - y) / 2, np.float32(0.5) * uf.tv(x)
    want = (parts[0] + parts[1]).explain()
    assert sum(parts).explain() == sum([uf.Objective(parts[0]), parts[1]]).explain() == want
    twice = 2 * (parts[0] + parts[1])
    assert repr(twice) == repr(uf.sq(x - y) + 1.0 * uf.tv(x))
    assert repr(twice / 2) == repr(parts[0] + parts[1])


def test_an_objective_is_printed_as_it_is_written():
    text = "minimize\n      ‖x − y‖²\n    + w ‖x‖²\n    + g_∇x(∇x)        SoftThreshold"
    assert repr(uf.sq(x - y) + w * uf.sq(x) + uf.l1(uf.grad(x))) == text
    assert repr(uf.tv(z)) == "minimize\n      g_z(z)        TotalVariation"
    assert (w * uf.sq(x)).explain().splitlines()[1] == "      w ‖x‖²"
