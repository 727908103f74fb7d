"""A run of ``unfold train`` as weights that ship: in half precision, with what is known of it.

    python ship.py RUN NAME [--note KEY=TEXT ...]

RUN holds model.safetensors and model.json; what comes of it stands in unfold/models/shipped/NAME,
beside the card that is written by hand.
"""

import argparse
from pathlib import Path

from safetensors.torch import load_file

import unfold.models
from unfold.models.weights import FACTS, TENSORS, load_model, read_facts, save_model
from unfold.registry.spec import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--note", action="append", default=[], metavar="KEY=TEXT")
    given = parser.parse_args()
    load_model(given.run)  # its hash is checked
    facts = read_facts(given.run)
    tensors = load_file(given.run / TENSORS)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    assert all(t.isfinite().all() for t in halves.values())
    notes = dict(note.split("=", 1) for note in given.note)
    folder = Path(unfold.models.__file__).parent / "shipped" / given.name
    save_model(
        folder,
        halves,
        resolve("models", facts["model"]),
        needs=facts["needs"],
        training={**facts["training"], **notes},
    )
    print(f"{folder}: {(folder / TENSORS).stat().st_size:,} bytes, {read_facts(folder)['sha256']}")
    assert (folder / FACTS).is_file()


if __name__ == "__main__":
    main()
