"""The base classes of the errors of the library."""

__all__ = ["InputError", "UnfoldError"]


class UnfoldError(Exception):
    """An error in the input of the library, not in the library itself.

    Every error class of `unfold` derives from it and from the matching built-in exception (mostly
    `ValueError`), so that either can be caught. Mathematical functions raise built-in exceptions.

    Example:
        >>> import unfold
        >>> try:
        ...     unfold.create("models", "jude-smal")
        ... except unfold.UnfoldError as error:
        ...     print(str(error)[:26])
        no model named 'jude-smal'
    """


class InputError(UnfoldError, ValueError):
    """Raised if a model or a prior does not support an image, a kernel or a step.

    The message states the requirement, the given value and the remedy.

    Example:
        >>> import torch
        >>> import unfold
        >>> from unfold.errors import InputError
        >>> try:
        ...     unfold.create_model("zero-dce")(torch.rand(3, 8, 8))
        ... except InputError as error:
        ...     print(str(error)[:55])
        an image must have shape (batch, 3, height, width), got
    """
