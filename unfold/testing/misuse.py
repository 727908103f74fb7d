"""Checks of models and priors with wrong or unusual inputs."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from unfold.errors import UnfoldError

from .tools import close, need

Run = Callable[[Any], Tensor]
_PATIENCE = 60.0  # timeout of a child process, in seconds


def refuse(bad: Mapping[str, Callable[[], Any]]) -> None:
    """Each call must raise an UnfoldError that contains the value it got."""
    for what, run in bad.items():
        _, error = _tried(what, run)
        need(error is not None, f"{what}: accepted, not refused")


def take_or_refuse(odd: Mapping[str, Callable[[], Tensor]], good: Callable[[Tensor], str]) -> None:
    """Each call must succeed or raise an UnfoldError; ``good`` returns the problem of a result."""
    for what, run in odd.items():
        made, error = _tried(what, run)
        if error is None:
            problem = good(made)
            need(not problem, f"{what}: neither refused nor correct: {problem}")


def _tried(what: str, run: Callable[[], Any]) -> tuple[Any, UnfoldError | None]:
    try:
        with torch.no_grad():
            return run(), None
    except UnfoldError as error:
        need("got" in str(error), f"{what}: the message does not contain what it got: {error}")
        return None, error
    except Exception as error:
        kind, text = type(error).__name__, " ".join(str(error).split())[:200]
        raise AssertionError(f"{what}: {kind}, not an UnfoldError: {text}") from error


def special(x: Tensor, value: float) -> Tensor:
    """A copy in which one number is replaced."""
    x = x.clone()
    x.flatten()[5] = value
    return x


def of_wrong_type(x: Tensor) -> dict[str, Any]:
    """The same numbers in objects that are not dense floating-point tensors."""
    return {
        "8-bit integers": (255 * x).to(torch.uint8),
        "64-bit integers": (255 * x).long(),
        "truth values": x > 0.3,
        "complex numbers": x + 0j,
        "a sparse tensor": x.to_sparse(),
        "a NumPy array": x.numpy(),
        "a list": x.tolist(),
        "None": None,
    }


def empty(x: Tensor) -> dict[str, Tensor]:
    """Three kinds of empty tensors."""
    return {"no image": x[:0], "no rows": x[:, :, :0], "no columns": x[..., :0]}


def reads_any_layout(module: nn.Module, x: Tensor, run: Callable[[Any, Tensor], Tensor]) -> None:
    """The memory layout of the input does not change the result."""
    layouts = {
        "transposed in memory": x.mT.contiguous().mT,
        "every second number of a larger tensor": x.repeat_interleave(2, -1)[..., ::2],
        "channels last": x.contiguous(memory_format=torch.channels_last),
    }
    with torch.no_grad():
        want = run(module, x)
        for what, same in layouts.items():
            close(run(module, same), want, what, 1e-4)


def survives_copying(module: nn.Module, run: Run) -> None:
    """A copy, and a pickled and unpickled module, compute the same result."""
    want = _run(module, run)
    close(_run(copy.deepcopy(module), run), want, "a deep copy", 1e-5)
    close(_run(pickle.loads(pickle.dumps(module)), run), want, "unpickled", 1e-5)


def serves_two_threads(module: nn.Module, run: Run) -> None:
    """Two threads that run the module at once get the result of one."""
    want, made = _run(module, run), dict[int, Tensor]()

    def work(index: int) -> None:
        made[index] = _run(module, run)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        need(index in made, f"thread {index + 1} of two failed")
        close(made[index], want, f"thread {index + 1} of two", 1e-5)


def survives_a_fork(module: nn.Module, run: Run) -> None:
    """A forked child process computes the same result."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise SkipTest("no fork on this system")
    want = _run(module, run)
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)

    def work() -> None:
        torch.set_num_threads(1)  # (the parent's threads do not exist in the child)
        send.send(_run(module, run).tolist())

    child = context.Process(target=work, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forks of threaded processes
        child.start()
    send.close()
    try:
        need(receive.poll(_PATIENCE), f"a forked process did not finish in {_PATIENCE:g} s")
        close(torch.tensor(receive.recv(), dtype=want.dtype), want, "in a forked process", 1e-5)
    except EOFError:
        raise AssertionError("a forked process failed") from None
    finally:
        child.kill()
        child.join()


def _run(module: nn.Module, run: Run) -> Tensor:
    with torch.no_grad():
        return run(module)
