"""How many parameters a module may have: what would fill the memory is refused, not built."""

from __future__ import annotations

LARGEST = 2**28  # parameters: 1 GiB of float32; the restoration networks of papers have a tenth


def check_size(parameters: int, what: str) -> None:
    """See that what is about to be built is not too large.

    Args:
        parameters: their number, as far as known before it is built.
        what: of whom, for the message: "8 stages".

    Raises:
        ValueError: there are more than 2²⁸.

    Example:
        >>> from unfold.core.size import check_size
        >>> check_size(35_000_000, "5 stages")
    """
    if parameters > LARGEST:
        raise ValueError(
            f"{what} would have {parameters / 1e6:,.0f} million parameters or more, and "
            f"{LARGEST / 1e6:,.0f} million are the most; make it smaller"
        )
