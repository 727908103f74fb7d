"""An upper bound of the number of parameters, checked before memory is allocated."""

from __future__ import annotations

LARGEST = 2**28  # 1 GiB of float32, ten times the size of the restoration networks of papers


def check_size(parameters: int, what: str) -> None:
    """Check the number of parameters of a module before it is built.

    Args:
        parameters: number of parameters, as far as it is known.
        what: name of the module, for the message: "8 stages".

    Raises:
        ValueError: if there are more than 2²⁸.

    Example:
        >>> from unfold.core.size import check_size
        >>> check_size(35_000_000, "5 stages")
    """
    if parameters > LARGEST:
        raise ValueError(
            f"{what} would have {parameters / 1e6:,.0f} million parameters or more, and "
            f"{LARGEST / 1e6:,.0f} million are the most; make it smaller"
        )
