"""Folders of trained weights, damaged: the description, the tensors, or both."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing.hostile import changed, scrambled

from unfold.models.weights import FACTS, TENSORS, load_model, save_model
from unfold.registry import ComponentError
from unfold.registry.spec import resolve

CONFIGS = (
    {"kind": "zero-dce", "width": 4, "iterations": 2},
    {"kind": "deconv-small", "K": 2, "prior": {"kind": "resunet", "widths": [4, 4]}},
    {"kind": "identity"},
)

HERE = "models"  # the folder itself, from where the process stands: a model of itself


@cache
def seeds() -> tuple[tuple[dict[str, Any], bytes], ...]:
    """Description and tensors of small models."""
    found = []
    for config in CONFIGS:
        spec = resolve("models", config)
        with tempfile.TemporaryDirectory() as folder:
            needs = {"unfold-imaging": "0.1.0"}
            save_model(folder, spec.build().state_dict(), spec, needs=needs)
            facts = json.loads(Path(folder, FACTS).read_text())
            found.append((facts, Path(folder, TENSORS).read_bytes()))
    return tuple(found)


def make(rng: random.Random) -> dict[str, Any]:
    """A folder's two files; the hash mostly fits, since all else ends there."""
    facts, tensors = rng.choice(seeds())
    action = rng.random()
    if action < 0.4:
        tensors = _tensors(tensors, rng)
        facts = {**facts, "sha256": hashlib.sha256(tensors).hexdigest()}
    elif action < 0.5:
        facts = {**facts, "model": {"kind": "trained", "folder": HERE}}
    if action > 0.35:
        facts = changed(facts, rng)
    text = json.dumps(facts).encode()
    if action > 0.9:
        text = scrambled(text, rng) if action < 0.98 else b"[" * 10**5
    return {"facts": text, "tensors": tensors}


def _tensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with its header or anything of it changed."""
    if rng.random() < 0.4:
        return scrambled(data, rng)
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(changed(json.loads(data[8 : 8 + size]), rng)).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def attempt(case: dict, folder: Path) -> bool:
    """Whether the folder holds a model. Raises what loading one must not raise."""
    write_down(case, folder)
    try:
        load_model(folder).explain()
    except ComponentError:
        return False
    return True


def write_down(case: dict, folder: Path) -> str:
    """Keep a case in a folder; returns its path."""
    (folder / FACTS).write_bytes(case["facts"])
    (folder / TENSORS).write_bytes(case["tensors"])
    return str(folder)
