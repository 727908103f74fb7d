"""A device that this machine does not have: its tensors compute here, but refuse to meet others.

``with elsewhere():`` lends the name "meta" to it. What would fail on a GPU because two tensors lie
on different devices fails there too, and what it computes can be looked at: ``x.to("cpu")``.
"""

import contextlib

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

THERE = torch.device("meta")
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
# Indices may be on the CPU, as on a GPU.
_INDEXED = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
}


# Views that only mark what is to be done later, which a Distant would not know of.
_COMPUTED = {
    torch.ops.aten._conj.default: torch.ops.aten._conj_physical.default,
    torch.ops.aten._neg_view.default: torch.ops.aten.neg.default,
}


class Distant(torch.Tensor):
    """A tensor there; ``here`` is what it holds."""

    @staticmethod
    def __new__(cls, here):
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype, device=THERE
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} outside of elsewhere()")

    def __repr__(self):
        return f"Distant({self.here})"


@contextlib.contextmanager
def elsewhere():
    with _Numbers(), _Elsewhere():
        yield


class _Numbers(TorchFunctionMode):
    """Numbers of Python's that become tensors there: torch reads those where no mode looks."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.new_tensor:
            like, *args = args
            kwargs = {"dtype": like.dtype, "device": like.device} | kwargs
            function = torch.tensor
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = torch.device(kwargs.pop("device"))
            return function(*args, **kwargs).to(device)
        return function(*args, **kwargs)


class _Elsewhere(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        distant = [isinstance(x, Distant) for x in given]
        if any(distant) and function not in _COPIES:
            mixed = given[:1] if function in _INDEXED else given
            strangers = [x for x in mixed if x.ndim and not isinstance(x, Distant)]
            if strangers:
                raise RuntimeError(f"{function}: {tuple(strangers[0].shape)} is on the CPU")
        there = any(distant)
        if kwargs.get("device") is not None:
            there = torch.device(kwargs["device"]) == THERE
            kwargs["device"] = torch.device("cpu") if there else kwargs["device"]
        elif function is torch.ops.aten.copy_.default:
            there = distant[0]
        args, kwargs = tree_map(lambda x: x.here if isinstance(x, Distant) else x, (args, kwargs))
        made = _COMPUTED.get(function, function)(*args, **kwargs)
        if not there:
            return made
        return tree_map(lambda x: Distant(x) if isinstance(x, torch.Tensor) else x, made)
