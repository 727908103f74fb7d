"""The mathematics: declare an augmented Lagrangian, lower it to steps, unroll them."""

from .affine import Affine, Equal
from .ambiguity import Ambiguity
from .cg import CG
from .equilibrium import Equilibrium, EquilibriumError
from .lagrangian import Constraint, Lagrangian, Quadratic, Regularizer
from .ledger import Entry, Ledger
from .operators import Fourier, LinearMap, MatrixFree, Pixel, Structure
from .prior import Prior
from .residual import Residual
from .restorer import Restoration, Restorer
from .state import MissingEntryError, State
from .steps import Ascend, Minimise, Step, lower
from .unroll import Stage, Unrolled, converge
from .weights import FixedWeights, LearnedWeights

__all__ = [
    "CG", "Affine", "Ambiguity", "Ascend", "Constraint", "Entry", "Equal", "Equilibrium",
    "EquilibriumError", "FixedWeights", "Fourier", "Lagrangian", "LearnedWeights", "Ledger",
    "LinearMap", "MatrixFree", "Minimise", "MissingEntryError", "Pixel", "Prior", "Quadratic",
    "Regularizer", "Residual", "Restoration", "Restorer", "Stage", "State", "Step", "Structure",
    "Unrolled", "converge", "lower",
]  # fmt: skip
