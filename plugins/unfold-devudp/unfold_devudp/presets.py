"""DEvUDP for fidelity, and a small DEvUDP, which trains on a CPU."""

from __future__ import annotations

from .devudp import DEvUDP
from .generator import Normalization


def devudp_dt(*, normalization: Normalization = "batch") -> DEvUDP:
    """DEvUDP-DT: a global shortcut without instance normalization, which keeps the brightness.

    The paper prints 6.96 M parameters. Convolutions with biases and without normalization have
    6,953,475 parameters (6.95 M). A scale and a shift for each of the 4,224 normalized channels
    gives 6,957,699 (6.96 M). We infer batch normalization, whose scale and shift do not depend on
    the photo.

    Args:
        normalization: normalization after each convolution except the last.
    """
    return DEvUDP(normalization=normalization, shortcut=True)


def devudp_small(*, normalization: Normalization = "instance", shortcut: bool = False) -> DEvUDP:
    """DEvUDP with a quarter of the channels, 16, 32 and 64, and one block in each stage.

    ``unfold train devudp-small --set data.input=BAD --set data.target=GOOD`` trains it on a CPU.
    """
    return DEvUDP(widths=(16, 32, 64), blocks=1, normalization=normalization, shortcut=shortcut)
