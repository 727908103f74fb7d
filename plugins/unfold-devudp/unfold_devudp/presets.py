"""DEvUDP for fidelity, and one that trains on a CPU."""

from __future__ import annotations

from .devudp import DEvUDP
from .generator import Normalisation


def devudp_dt(*, normalisation: Normalisation = "batch") -> DEvUDP:
    """DEvUDP-DT: a global shortcut and no instance normalisation, so brightness is kept.

    The paper prints 6.96 M parameters. Dropping normalisation and giving the convolutions biases
    instead makes 6,953,475 (6.95 M). A scale and a shift for each of the 4,224 normalised
    channels makes 6,957,699 (6.96 M): so batch normalisation is inferred, whose scale and shift
    do not depend on the photo.

    Args:
        normalisation: after each convolution but the last.
    """
    return DEvUDP(normalisation=normalisation, shortcut=True)


def devudp_small(*, normalisation: Normalisation = "instance", shortcut: bool = False) -> DEvUDP:
    """DEvUDP with a quarter of the channels, 16, 32 and 64, and one block in each stage.

    ``unfold train devudp-small --set data.input=BAD --set data.target=GOOD`` trains it on a CPU.
    """
    return DEvUDP(widths=(16, 32, 64), blocks=1, normalisation=normalisation, shortcut=shortcut)
