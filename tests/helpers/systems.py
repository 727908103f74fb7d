"""JUDE and ErA as users declare them, with random states to test them on."""

import torch

from unfold.core import Constraint, Equal, Lagrangian, Quadratic, Regularizer
from unfold.priors import SoftThreshold
from unfold.terms import Convolution, Retinex, SparseError

JUDE_ORDER = ("P", "R", "Q", "L", "Z", "I", "G", "O", "D")
ERA_ORDER = ("U", "Z", "X", "E", "P", "G", "O", "D")
JUDE_WEIGHTS = {"w1": 1.3, "w2": 0.7, "w3": 0.5, "w4": 0.9, "w5": 0.4}
ERA_WEIGHTS = {"w1": 0.7, "w2": 0.5, "w3": 0.3, "ws": 0.3}


def jude(*regularizers):
    return Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), "w1"),
        Quadratic(Retinex("Z", reflectance="P", illumination="Q"), "w2"),
        Constraint(Equal("R", "P"), penalty="w3", dual="G"),
        Constraint(Equal("L", "Q"), penalty="w4", dual="O"),
        Constraint(Equal("I", "Z"), penalty="w5", dual="D"),
        *regularizers,
    )


def era(*regularizers):
    return Lagrangian(
        Quadratic(SparseError("U", error="E", observed="Y"), 1.0),
        Constraint(Convolution("X", kernel="H", observed="U"), penalty="w1", dual="G"),
        Constraint(Equal("X", "Z"), penalty="w2", dual="O"),
        Constraint(Equal("E", "P"), penalty="w3", dual="D"),
        Regularizer("E", SoftThreshold(), "ws"),
        *regularizers,
    )


def random_kernel(batch=1, channels=1, size=(3, 3), dtype=torch.float64):
    kernel = torch.rand(batch, channels, *size, dtype=dtype)
    return kernel / kernel.sum((-2, -1), keepdim=True)


def random_state(names, shape, kernel=(3, 3), one_channel=(), dtype=torch.float64):
    """Random images for each name, and a random kernel for each image as H."""
    batch, channels, height, width = shape
    state = {
        n: torch.rand(batch, 1 if n in one_channel else channels, height, width, dtype=dtype)
        for n in names
    }
    return {**state, "H": random_kernel(batch, 1, kernel, dtype)}


def gradient(lagrangian, block, state, penalties):
    x = state[block].detach().requires_grad_()
    value = lagrangian.value({**state, block: x}, penalties)
    return torch.autograd.grad(value, x)[0]


def dense_minimizer(lagrangian, block, state, penalties):
    """Build the Hessian and gradient of the Lagrangian in one block by autograd, and solve."""
    shape = state[block].shape

    def value(x):
        return lagrangian.value({**state, block: x.reshape(shape)}, penalties)

    zero = torch.zeros(shape.numel(), dtype=torch.float64)
    hessian = torch.func.hessian(value)(zero)
    return torch.linalg.solve(hessian, -torch.func.grad(value)(zero)).reshape(shape)
