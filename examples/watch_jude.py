"""Watch JUDE's blocks: what each stage does to I, Z, R and L, in numbers and in pictures.

The model is `jude-classic`, which needs no weights; a trained `jude` is watched the same way.
"""

import sys

import torch
from skimage.data import coffee

import unfold
from unfold.core import History
from unfold.degradation import blur, motion_kernel
from unfold.imaging import Photo, write


def main(output: str = "watch_jude.png") -> History:
    torch.manual_seed(1)
    sharp = torch.from_numpy(coffee()[:96, 200:296]).permute(2, 0, 1)[None].float() / 255
    kernel = motion_kernel(15)
    dark = 0.2 * blur(sharp, kernel)
    dark = (dark + 0.005 * torch.randn_like(dark)).clamp(0, 1)

    model = unfold.create_model("jude-classic", K=20).eval()
    print(model.explain(), end="\n\n")
    history = History()
    with torch.no_grad():
        restoration = model(dark, kernel=kernel, history=history)

    print("stage   primal(I)   dual(Z)   Lagrangian   ms")
    for k in range(0, len(history.penalties), 4):
        entries = {entry.block: entry for entry in history.stage(k)}
        milliseconds = 1e3 * sum(entry.seconds for entry in entries.values())
        print(
            f"{k:>5}   {entries['I'].primal.item():>9.2e} {entries['Z'].dual.item():>9.2e} "
            f"  {entries['Q'].lagrangian.item():>10.4f} {milliseconds:>5.1f}"
        )

    parts = restoration.parts
    row = [
        dark,
        parts["I"],
        parts["denoised"],
        parts["enhanced"].expand_as(dark),
        restoration.image,
    ]
    write(output, Photo(torch.cat(row, -1)[0].clamp(0, 1)))
    print(f"wrote {output}: input, I, denoised R, enhanced L, restored")
    return history


if __name__ == "__main__":
    main(*sys.argv[1:])
