"""The base classes of the errors of the library."""

__all__ = ["GradientError", "InputError", "InputTypeError", "MemoryLimitError", "UnfoldError"]


class UnfoldError(Exception):
    """An error in the input of the library, not in the library itself.

    Every error class of `unfold` derives from it and from the matching built-in exception (mostly
    `ValueError`), so that either can be caught. Built-in exceptions are raised only where Python or
    the system defines them: a full disk (`OSError`), a package that is not installed
    (`ImportError`), an index out of range (`IndexError`).

    Example:
        >>> import unfold
        >>> try:
        ...     unfold.create("models", "jude-smal")
        ... except unfold.UnfoldError as error:
        ...     print(str(error)[:26])
        no model named 'jude-smal'
    """


class InputError(UnfoldError, ValueError):
    """Raised if a value cannot be used: an image, a kernel, an option, a name in a formula.

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


class InputTypeError(UnfoldError, TypeError):
    """Raised if a value has a type that cannot be used.

    Example:
        >>> import unfold as uf
        >>> from unfold.errors import InputTypeError
        >>> x = uf.blocks("x")
        >>> try:
        ...     uf.sq(x - 1)
        ... except InputTypeError as error:
        ...     print(error)
        1 is subtracted from an expression of blocks: a residual is linear in its blocks: ...
    """


class GradientError(UnfoldError, RuntimeError):
    """Raised by a prior that is not differentiable, for an input that requires a gradient.

    Example:
        >>> from unfold.errors import GradientError
        >>> issubclass(GradientError, RuntimeError)  # as torch raises
        True
    """


class MemoryLimitError(UnfoldError, MemoryError):
    """Raised if a photo does not fit into memory, and the model cannot restore it in tiles.

    Example:
        >>> import torch
        >>> import unfold
        >>> from unfold.errors import MemoryLimitError
        >>> class Global(unfold.create_model("identity").__class__):
        ...     needs_full_image = True
        >>> try:
        ...     unfold.restore(torch.rand(3, 512, 512), model=Global(), memory="1MiB")
        ... except MemoryLimitError as error:
        ...     print(str(error)[:31])
        the model needs the whole photo
    """
