"""Computation in a separate process, which is ended after a time limit."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

# Forked from a clean process that has imported torch. This starts quickly, and is safe with threads
# and GPUs, unlike a fork of this process.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = multiprocessing.get_context(_METHOD)
_GLANCE = 0.2  # interval of checks, in seconds


class EndedError(Exception):
    """The process ended before it was done; the text says why."""


def prepare(module: str) -> None:
    """Start to import a module that every process needs."""
    if _METHOD == "forkserver":
        multiprocessing.set_forkserver_preload([module])
        forkserver.ensure_running()  # (the import takes seconds)


def run(
    function: Callable[..., Any],
    *given: Any,
    seconds: float,
    wanted: Callable[[], bool] = lambda: True,
) -> Any:
    """Call a function in a separate process and return its result.

    When this function returns or raises, the process has ended and its memory is free.

    Args:
        function: a function of a module, because it is pickled by name.
        given: its arguments; they and the result are pickled.
        seconds: time limit, from its start.
        wanted: called repeatedly; the process is ended when it returns False.

    Raises:
        EndedError: if the process reached the time limit, was no longer wanted, or died.
        Exception: any exception of the function.
    """
    receive, send = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(send, function, given), daemon=True)
    process.start()
    send.close()
    end = time.monotonic() + seconds
    try:
        while not receive.poll(_GLANCE):
            if time.monotonic() > end:
                raise EndedError(f"it was stopped after {seconds:g} seconds")
            if not wanted():
                raise EndedError("it was stopped, because nobody waits for it any more")
        error, result = receive.recv()
    except EOFError:
        process.join()
        raise EndedError(
            f"its process ended with status {process.exitcode}, perhaps because memory was full"
        ) from None
    finally:
        process.kill()
        process.join()
        receive.close()
    if error is not None:
        raise error
    return result


def _work(send: Connection, function: Callable[..., Any], given: tuple) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = None, function(*given)
    except Exception as error:
        answer = error, None
    send.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
