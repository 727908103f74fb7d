"""How large a component may be: what takes long to build, or fills the memory, is refused."""

from __future__ import annotations

LARGEST = 10**8  # parameters: 0.4 GB, and a second to draw; networks of papers have a tenth
MODULE = 12_000  # parameters that are drawn in the time that one module takes to be made


def check_size(parameters: int, what: str, *, modules: int = 0) -> None:
    """See that what is about to be built is not too large.

    Args:
        parameters: their number, as far as known before it is built.
        what: of whom, for the message: "8 stages".
        modules: their number; each counts as 12,000 parameters, which take as long to make.

    Raises:
        ValueError: they count for more than 100 million.

    Example:
        >>> from unfold.core.size import check_size
        >>> check_size(35_000_000, "5 stages", modules=900)
    """
    if parameters + MODULE * modules > LARGEST:
        made = f"{parameters / 1e6:,.0f} million parameters"
        made += f" in {modules:,} modules" if modules else ""
        raise ValueError(
            f"{what} would have {made} or more; the most are {LARGEST / 1e6:,.0f} million, where "
            f"each module counts as {MODULE:,}: make it smaller"
        )
