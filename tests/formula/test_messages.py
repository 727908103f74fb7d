"""What is written wrong is refused where it is written, with a remedy."""

import warnings

import numpy as np
import pytest
import torch

import unfold as uf
from unfold.core import State

x, z = uf.blocks("x z")
y, k = uf.data("y k")
w, v = uf.penalties("w v")
D = uf.sq(uf.conv(k, x) - y) / 2
L = D + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
TENSOR, ARRAY = torch.ones(3, 4), np.ones(3)
PHOTO, KERNEL = torch.rand(1, 3, 8, 9), torch.ones(1, 1, 3, 3) / 9
TWO, THREE = PHOTO.expand(2, 3, 8, 9), KERNEL.expand(3, 1, 3, 3)
DATA = {"y": PHOTO, "k": KERNEL, "rho": 0.1}


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


def solve_linear(function, adjoint=None):
    blurred = uf.sq(uf.linear(function, x, adjoint) - y) + 1e-3 * uf.sq(x)
    return blurred.solve(y=PHOTO, start={x: y})


def read(**term):
    return uf.from_dict({"terms": [{"quadratic": "x - y"}, term], "data": ["y"]})


@pytest.mark.parametrize(
    ("line", "error", "fragment"),
    [
        # Names of the package
        ("uf.tvv(x)", AttributeError, "did you mean 'tv'?"),
        ("uf.qqqqq", AttributeError, "module 'unfold' has no attribute 'qqqqq'"),
        # Arguments of networks and solvers
        ("L.unroll(3, output=z, start='q')", TypeError, "start must be data, such as y, or a map"),
        ("L.solve(**DATA, start='q')", TypeError, "start must be data, such as y, or a mapping"),
        ("L.unroll(3, output=z, start=uf.data('q'))", ValueError, "q, which is no data of the obj"),
        ("L.unroll(3, output=z, start={'w': y})", ValueError, "'w', which is no block; blocks are"),
        ("L.unroll(3, output=z, start={x: PHOTO[0]})", ValueError, "the missing axes with [None]"),
        ("L.unroll('5', output=z)", ValueError, "K, the number of rounds, is '5': must be an int"),
        ("L.unroll(2.5, output=z)", ValueError, "must be an integer of at least 1"),
        ("L.unroll(True, output=z)", ValueError, "must be an integer of at least 1"),
        ("L.solve(**DATA, maximum=2.5)", ValueError, "maximum is 2.5: must be an integer of at l"),
        ("L.solve(**DATA, tolerance=-1)", ValueError, "tolerance is -1: must be a finite number"),
        ("L.solve(**DATA, tolerance='a')", ValueError, "tolerance is 'a': must be a finite number"),
        ("L.equilibrium(output=z, maximum=0)", ValueError, "maximum is 0: must be an integer of"),
        ("L.equilibrium(output=z, tolerance=0)", ValueError, "tolerance is 0: must be a finite"),
        ("L.solve(**{**DATA, 'rho': -1})", ValueError, "the penalty 'rho' is -1: must be"),
        ("L.unroll(1, output=z, penalties={'rho': 'a'})", ValueError, "initial penalty 'rho' is"),
        # Data
        (
            "D.solve(y=TWO, k=THREE)",
            ValueError,
            "k⊗x cannot combine k (3, 1, 3, 3), x (2, 3, 8, 9)",
        ),
        (
            "D.solve(y=PHOTO.byte(), k=KERNEL)",
            ValueError,
            "got torch.uint8: convert it with .float",
        ),
        ("D.solve(y=PHOTO.long(), k=KERNEL)", ValueError, "got torch.int64: convert it with .flo"),
        ("D.solve(y=PHOTO.numpy(), k=KERNEL)", ValueError, "convert it with torch.as_tensor"),
        ("D.solve(y=PHOTO[0], k=KERNEL)", ValueError, "add the missing axes with [None]"),
        ("D.solve(y=PHOTO, k=KERNEL[0, 0])", ValueError, "the missing axes with [None, None]"),
        (
            "D.solve(y=PHOTO[..., :0], k=KERNEL)",
            ValueError,
            "y must have shape (batch, channels, h",
        ),
        ("D.unroll(1, output=x)(y=PHOTO[0], k=KERNEL)", ValueError, "add the missing axes with [N"),
        # Functions that are not linear
        (
            "solve_linear(lambda v: v**2)",
            ValueError,
            "Ax is not linear: its function gives A(-2 v)",
        ),
        ("solve_linear(lambda v: v + 1)", ValueError, "Ax is not linear"),
        ("solve_linear(lambda v: v.abs())", ValueError, "Ax is not linear"),
        ("solve_linear(lambda v: v.clamp(0, 1))", ValueError, "Ax is not linear"),
        (
            "solve_linear(lambda v: v.roll(1, -1), lambda v: v.roll(1, -1))",
            ValueError,
            "the adjoint of Ax is not that of its function",
        ),
        ("solve_linear(lambda v: 2 * v, lambda v: v)", ValueError, "the adjoint of Ax is not"),
        ("solve_linear(lambda v: 2 * v, lambda v: v[..., 1:])", ValueError, "give its adjoint, or"),
        # Dictionaries
        ("uf.from_dict({})", ValueError, "has a list of terms under 'terms', got {}"),
        ("uf.from_dict([])", ValueError, "has a list of terms under 'terms', got []"),
        ("uf.from_dict({'terms': []})", ValueError, "has a list of terms under 'terms'"),
        ("read(quadratic='conv(H,I) - ')", ValueError, "term 2: 'conv(H,I) - ' is not an express"),
        ("read(quadratic='conv(H,I) - ')", ValueError, "write names, numbers, + - * / and conv("),
        ("read(quadratic=3)", ValueError, "term 2: 3 is not an expression: write names"),
        ("read(quadratic='x * x')", ValueError, "term 2: 'x * x'"),
        (
            "read(constraint='x - z')",
            ValueError,
            "term 2, {'constraint': 'x - z'}, lacks 'penalty'",
        ),
        ("read(prior={'kind': 'tv2'}, block='x')", ValueError, "term 2: no prior named 'tv2'"),
        ("read(quad='x')", ValueError, "term 2: a term must have quadratic, constraint or prior"),
        ("read(quadratic='x', weight=None)", ValueError, "term 2: a penalty is a positive number"),
        ("uf.from_dict({'terms': [3]})", ValueError, "term 1: a term must be a dictionary, got 3"),
    ],
)
def test_a_call_that_is_wrong_is_refused(line, error, fragment):
    check(line, error, fragment)


def test_what_is_linear_is_accepted():
    for function in (
        lambda v: v.flip(-1),
        lambda v: v.cumsum(-1) / 32,
        lambda v: torch.fft.ifft2(torch.fft.fft2(v)).real,
        lambda v: 0 * v,
    ):
        assert solve_linear(function).converged


def test_an_adjoint_is_accepted():
    for function, adjoint in (
        (lambda v: v.roll(1, -1), lambda v: v.roll(-1, -1)),
        (lambda v: 1e-6 * v.cumsum(-1), lambda v: 1e-6 * v.flip(-1).cumsum(-1).flip(-1)),
        (lambda v: v - v.mean((-2, -1), keepdim=True),) * 2,
    ):
        assert solve_linear(function, adjoint).converged


@pytest.mark.parametrize(("adjoint", "calls_of_a_check"), [(None, 2), (lambda v: v.flip(-1), 3)])
def test_a_function_is_checked_once(adjoint, calls_of_a_check):
    calls = []
    first = uf.linear(lambda v: calls.append(1) or v.flip(-1), x, adjoint)
    state = State({"x": PHOTO})
    first.shape(state)
    checked = len(calls)
    first.shape(state)
    assert (checked, len(calls)) == (calls_of_a_check + 1, calls_of_a_check + 2)


def test_a_solution_that_has_not_converged_warns():
    with pytest.warns(UserWarning, match="after 2 rounds a residual is above the tolerance") as got:
        solution = L.solve(**DATA, maximum=2)
    assert [warning.filename for warning in got] == [__file__]
    assert not solution.converged
    assert repr(solution.history) == "History(stages: 1, blocks: x, z)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert L.solve(**DATA, start=y).converged


def test_the_package_lists_its_names():
    assert set(uf.__all__) <= set(dir(uf))


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
