"""The weights with which the training of era-small begins: the priors and levels of deconv-small.

    python era_start.py OUT
    unfold train shipped-era-small --set model.kind=trained --set model.folder=OUT ...

(The weights that ship began with the levels of E of those before them, too.)
"""

import argparse
from pathlib import Path

import torch

import unfold
from unfold.models.era import NAMES as ERA
from unfold.models.weights import save_model
from unfold.registry.spec import resolve

_BLUR = -1.7  # the logarithm of the penalty w1 of U = B X; a larger one restored less


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    model = unfold.create_model("era-small")
    start = unfold.create_model("deconv-small", pretrained=True)
    tensors, found = model.state_dict(), start.state_dict()
    for name in tensors:
        if "priors.Z" in name:
            tensors[name] = found[name]
    levels = tensors["hyper.affine"]
    levels[..., ERA.index("log_z")] = found["hyper.affine"][..., 0]
    levels[..., ERA.index("log_w2")] = found["hyper.affine"][..., 1]
    levels[..., ERA.index("log_w1")] = torch.tensor([_BLUR, 0.0])[:, None]
    save_model(given.out, tensors, resolve("models", "era-small"), needs={})


if __name__ == "__main__":
    main()
