"""Synthesis of degraded photos from sharp ones: recipes, files, and data sets on the fly."""

from .contact_sheet import contact_sheet
from .manifest import Manifest, ManifestError, read_manifest
from .pipeline import Pipeline
from .recipe import (
    RecipeError,
    SynthesisRecipe,
    SynthesisStep,
    parse_recipe,
    read_recipe,
    recipe_text,
    recipes,
)
from .scenes import Scene, find_scenes
from .stream import SynthesizedPhotos
from .writer import Made, Synthesis

__all__ = [
    "Made",
    "Manifest",
    "ManifestError",
    "Pipeline",
    "RecipeError",
    "Scene",
    "Synthesis",
    "SynthesisRecipe",
    "SynthesisStep",
    "SynthesizedPhotos",
    "contact_sheet",
    "find_scenes",
    "parse_recipe",
    "read_manifest",
    "read_recipe",
    "recipe_text",
    "recipes",
]
