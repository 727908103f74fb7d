"""Options of every installed component, changed; validated, and built where that needs no more."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing.hostile import changed
from pydantic import TypeAdapter, ValidationError

from unfold.losses import LossError
from unfold.metrics import MetricError
from unfold.registry import Component, ComponentError, scan
from unfold.registry.config import read_config
from unfold.registry.spec import DegradationSpec, resolve, spec_type

EXAMPLES = Path(__file__).parents[3] / "examples"
# What a prior, a model and so on is built with; others need a stage or roles around them.
INPUTS = {"priors": (3,), "models": (), "losses": (), "metrics": ()}
STAGES = {"K": 2, "stages": 2}  # few, that cases are fast
WITHOUT_DEFAULT = {"block": "I", "left": "I", "right": "Z"}
SLOW = ("unfold-deepinv", "unfold-bm3d", "unfold-pyiqa")  # what they wrap takes seconds to import
DEGRADATION = TypeAdapter(DegradationSpec)  # as it stands in a recipe, which builds it, too


@cache
def seeds() -> tuple[Component | Path, ...]:
    """Every component, and the declared models among the examples."""
    # (An engine is built with objects: the model, the journal.)
    found = [c for c in scan().components if not c.obstacle and c.group != "engines"]
    named = [c for c in found if c.name not in ("trained", "declared")]
    return (*named, *sorted(EXAMPLES.glob("*.toml")))


@cache
def config(seed: Component | Path) -> dict[str, Any]:
    """What a component is by default, or the declared model."""
    if isinstance(seed, Path):
        return {**read_config(seed), "stages": 2}
    fields = spec_type(seed.group, seed.qualified).model_fields
    given = {n: WITHOUT_DEFAULT.get(n, n) for n, f in fields.items() if f.is_required()}
    given |= {n: stages for n, stages in STAGES.items() if n in fields}
    return json.loads(spec_type(seed.group, seed.qualified)(**given).model_dump_json())


def make(rng: random.Random) -> dict[str, Any]:
    """A component's config with changes in it."""
    seed = rng.choice(seeds())
    group = seed.group if isinstance(seed, Component) else "models"
    return {"group": group, "config": changed(config(seed), rng)}


def attempt(case: dict, folder: Path) -> bool:
    """Whether the config is one. Raises what neither validation nor building may."""
    try:
        if case["group"] == "degradations":
            DEGRADATION.validate_python(case["config"])
            return True
        spec = resolve(case["group"], case["config"])
    except (ValidationError, ComponentError):
        return False
    if case["group"] not in INPUTS or spec.entry.distribution in SLOW:
        return True
    try:
        spec.build(*INPUTS[case["group"]])
    except (ComponentError, ValidationError, MetricError, LossError):
        return False
    return True


def write_down(case: dict, folder: Path) -> str:
    """Keep a case in a file; returns its path."""
    path = folder / "case.json"
    path.write_text(json.dumps(case, indent=1))
    return str(path)
