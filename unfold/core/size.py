"""The largest size of a component, checked before memory is allocated."""

from __future__ import annotations

from unfold.errors import InputError

LARGEST = 110 * 10**6  # parameters: 0.4 GB, drawn in less than a second; JUDE of DRUNets has 100
MODULE = 12_000  # parameters that are drawn in the time that one module takes to be made


def check_size(parameters: int, what: str, *, modules: int = 0) -> None:
    """Check the size of a module before it is built.

    Args:
        parameters: number of parameters, as far as it is known.
        what: name of the module, for the message: "8 stages".
        modules: number of modules; each counts as 12,000 parameters, which take as long to make.

    Raises:
        InputError: if they count for more than 110 million.

    Example:
        >>> from unfold.core.size import check_size
        >>> check_size(35_000_000, "5 stages", modules=900)
    """
    if parameters + MODULE * modules > LARGEST:
        made = f"{parameters / 1e6:,.0f} million parameters"
        made += f" in {modules:,} modules" if modules else ""
        raise InputError(
            f"{what} would have {made} or more; the most are {LARGEST / 1e6:,.0f} million, where "
            f"each module counts as {MODULE:,}: make it smaller"
        )
