"""The mathematics: declare an augmented Lagrangian, lower it to steps, unroll them."""

from .affine import Affine, Equal
from .ambiguity import Ambiguity
from .cg import CG
from .history import History, Update
from .lagrangian import Constraint, Lagrangian, Quadratic, Regularizer
from .operators import FourierDiagonal, LinearMap, MatrixFree, PixelDiagonal, Structure
from .prior import Prior
from .residual import Residual
from .state import MissingEntryError, State
from .steps import Ascend, Minimize, Step, lower
from .unroll import Stage, Unrolled, converge
from .weights import FixedWeights, LearnedWeights

__all__ = [
    "CG", "Affine", "Ambiguity", "Ascend", "Constraint", "Equal", "FixedWeights", "FourierDiagonal",
    "History", "Lagrangian", "LearnedWeights", "LinearMap", "MatrixFree", "Minimize",
    "MissingEntryError", "PixelDiagonal", "Prior", "Quadratic", "Regularizer", "Residual", "Stage",
    "State", "Step", "Structure", "Unrolled", "Update", "converge", "lower",
]  # fmt: skip
