"""Values that no component expects, put in the place of those it does."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

NUMBERS = [
    0, -1, 1, 2, 3, 5, 7, 12, 40, 2000, 10**5, 10**9, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.5,
    1e-300, 1e300, -0.0, math.nan, math.inf, -math.inf,
]  # fmt: skip
TEXTS = ["", "x", "I", "input", "jpeg", "box", "resunet", "identity", "\0", "ß" * 300, "..", "1"]
LISTS = [[], [0], [5, 4], [0, 1], [-1, -2], [math.nan, 1], [10**9] * 2, [1] * 3, [[]], [2] * 500]
OTHERS = [None, True, False, {}, {"kind": None}, {"kind": "x"}, {"a": [1]}]


def value(rng: random.Random) -> Any:
    """One of them."""
    return copy.deepcopy(rng.choice(rng.choice([NUMBERS, NUMBERS, TEXTS, LISTS, OTHERS])))


def places(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths to all that is in a tree of dicts and lists."""
    if isinstance(tree, dict):
        inner = list(tree.items())
    else:
        inner = list(enumerate(tree)) if isinstance(tree, list) else []
    return [place for key, one in inner for place in [(*path, key), *places(one, (*path, key))]]


def changed(tree: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A tree with one to three changes: a value replaced, taken away, added or put elsewhere."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 2, 3])):
        paths = places(tree)
        if not paths:
            break
        *way, last = rng.choice(paths)
        held = _at(tree, way)
        action = rng.random()
        if action < 0.1:
            del held[last]
        elif action < 0.2 and isinstance(held, dict):
            held[rng.choice(["x", "kind", "K", "prior", ""])] = value(rng)
        elif action < 0.3:
            held[last] = copy.deepcopy(_at(tree, rng.choice(paths[: max(1, len(paths) // 2)])))
        else:
            held[last] = _like(held[last], rng)
    return tree


def _like(old: Any, rng: random.Random) -> Any:
    """Often of the old value's type: what differs in type only is soon refused."""
    if rng.random() < 0.3:
        return value(rng)
    if isinstance(old, bool):
        return not old
    if isinstance(old, int | float):
        return rng.choice(NUMBERS)
    if isinstance(old, list) and old and rng.random() < 0.7:
        return [rng.choice([one, rng.choice(NUMBERS)]) for one in old]
    return rng.choice(TEXTS) if isinstance(old, str) else value(rng)


def _at(tree: Any, path: Any) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def scrambled(data: bytes, rng: random.Random) -> bytes:
    """Bytes with one to eight changes anywhere; often near the beginning, where headers are."""
    changing = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        if not changing:
            break
        at = rng.randrange(rng.choice([len(changing), min(len(changing), 200)]))
        action = rng.random()
        if action < 0.4:
            changing[at] = rng.choice([0, 1, 2, 127, 128, 255, rng.randrange(256)])
        elif action < 0.7:
            size = rng.choice([2, 4, 8])
            number = rng.choice([0, 1, 3, 255, 1 << 16, 1 << 20, 1 << 31, (1 << 64) - 1])
            packed = (number % (1 << 8 * size)).to_bytes(size, rng.choice(["little", "big"]))
            changing[at : at + size] = packed
        elif action < 0.8:
            del changing[at : at + rng.choice([1, 4, 50, 10**6])]
        else:
            other = rng.randrange(len(changing))
            changing[at:at] = changing[other : other + rng.choice([1, 4, 12, 400])]
    return bytes(changing)
