"""The mathematics: declare an augmented Lagrangian, derive its update steps, unroll them."""

from .affine import Affine, Equal
from .ambiguity import Ambiguity
from .cg import CG
from .equilibrium import Equilibrium, EquilibriumError
from .history import History, Update
from .lagrangian import Constraint, Lagrangian, Quadratic, Regularizer
from .measured import explained, measured_share
from .operators import FourierDiagonal, LinearMap, MatrixFree, PixelDiagonal, Structure
from .penalties import FixedPenalties, LearnedPenalties
from .prior import Prior
from .residual import Residual
from .state import MissingEntryError, State
from .steps import Ascend, Minimize, Step, lower
from .unroll import Stage, Unrolled, converge

__all__ = [
    "CG", "Affine", "Ambiguity", "Ascend", "Constraint", "Equal", "Equilibrium",
    "EquilibriumError", "FixedPenalties", "FourierDiagonal", "History", "Lagrangian",
    "LearnedPenalties", "LinearMap", "MatrixFree", "Minimize", "MissingEntryError",
    "PixelDiagonal", "Prior", "Quadratic", "Regularizer", "Residual", "Stage", "State", "Step",
    "Structure", "Unrolled", "Update", "converge", "explained", "lower", "measured_share",
]  # fmt: skip
