"""The base of all errors that the library raises on purpose."""


class UnfoldError(Exception):
    """An error of what was given to the library, not of the library itself.

    Every error class of `unfold` derives from it and from the built-in exception that fits (most
    of them `ValueError`), so that either may be caught. Plain functions of mathematics raise the
    built-in ones.

    Example:
        >>> import unfold
        >>> try:
        ...     unfold.create("models", "jude-smal")
        ... except unfold.UnfoldError as error:
        ...     print(str(error)[:26])
        no model named 'jude-smal'
    """


class InputError(UnfoldError, ValueError):
    """An image, a kernel or a step that a model or a prior cannot take.

    The message says what must hold, what was got, and what to do.

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
