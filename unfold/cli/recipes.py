"""``unfold recipes``: how bad photos are made of good ones."""

from __future__ import annotations

import argparse

from ._common import CommandError


def add(parser: argparse.ArgumentParser) -> None:
    """List the recipes of synthesis, or print one to copy and edit."""
    parser.description = (
        "Without a name, the recipes there are; with one, its TOML: "
        "`unfold recipes lol-blur > mine.toml`."
    )
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.synthesis import RecipeError, read_recipe, recipe_text, recipes

    try:
        if arguments.name:
            print(recipe_text(arguments.name), end="")
        else:
            for name in recipes():
                print(f"{name:<18} {read_recipe(name).about}")
    except RecipeError as error:
        raise CommandError(str(error)) from error
    return 0
