"""Work in a process of its own, which is ended when it takes too long."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

# Forked from a clean process that has imported torch: begun at once, and sound beside threads and
# GPUs, which a fork of this process would not be.
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = multiprocessing.get_context(_METHOD)
_GLANCE = 0.2  # seconds


class EndedError(Exception):
    """The process was ended, or ended itself, before it was done; the text says why."""


def prepare(module: str) -> None:
    """Begin to import a module that every process needs."""
    if _METHOD == "forkserver":
        multiprocessing.set_forkserver_preload([module])
        forkserver.ensure_running()  # (it takes seconds to import)


def run(
    function: Callable[..., Any],
    *given: Any,
    seconds: float,
    wanted: Callable[[], bool] = lambda: True,
) -> Any:
    """What a function returns, computed in a process of its own.

    Whatever happens, the process is no more when this returns, and so is its memory.

    Args:
        function: of a module, so that it can be found there.
        given: its arguments; they and the result are pickled.
        seconds: that it may take, from its start.
        wanted: asked now and then; where it says no, the process is ended.

    Raises:
        EndedError: it took too long, is no longer wanted, or died.
        Exception: that of the function.
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
                raise EndedError("it was stopped, as nobody waits for it any more")
        error, result = receive.recv()
    except EOFError:
        process.join()
        raise EndedError(
            f"its process ended with status {process.exitcode}, perhaps for want of memory"
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
