"""Training: recipes, and the engine that runs them.

from unfold.training import read_recipe, train

train(read_recipe("jude-small", {"data.source": "photos"}), "runs/first")
"""

from .error import TrainingError
from .reading import parse_recipe, read_recipe, recipe_text, recipes
from .recipe import Recipe
from .run import train
from .task import Supervised, Task
from .trainer import Trainer

__all__ = [
    "Recipe", "Supervised", "Task", "Trainer", "TrainingError", "parse_recipe", "read_recipe",
    "recipe_text", "recipes", "train",
]  # fmt: skip
