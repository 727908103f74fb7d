"""The server of the page, without telemetry; it deletes its files when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from unfold.errors import UnfoldError

from . import child
from .gate import Gate
from .job import MakeModel
from .restoring import Limits, Restoring
from .view import style
from .visit import Visits


class AppError(UnfoldError):
    """The app cannot be started; the message is one line."""


def serve(
    make_model: MakeModel,
    models: Sequence[str],
    *,
    host: str,
    port: int,
    device: torch.device,
    limits: Limits,
) -> None:
    """Serve the page until the process receives a signal.

    Args:
        make_model: function of a name, options, and whether the model may be untrained.
        models: models that can be chosen; the first is selected.
        host: address to listen on.
        port: port to listen on; 0: any free port.
        device: device of the computation.
        limits: upper limits for each visitor.

    Raises:
        AppError: if the server cannot listen on the host and port.
    """
    with tempfile.TemporaryDirectory(prefix="unfold-app-", ignore_cleanup_errors=True) as folder:
        # Gradio reads these when it is imported.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder + "/uploads"}
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        import uvicorn

        from .page import build

        listening = _listen(host, port)
        visits = Visits(Path(folder))
        uploads = Path(folder, "uploads")
        threading.Thread(target=_sweep, args=(uploads,), daemon=True).start()
        child.prepare("unfold_app.job")
        page = build(
            Restoring(make_model, visits, device, limits), models, max_upload=limits.upload
        )
        server = uvicorn.Server(
            uvicorn.Config(
                _application(page, visits, limits, host, uploads),
                log_level="warning",
                timeout_graceful_shutdown=1,
            )
        )
        for name in ("SIGTERM", "SIGHUP"):  # by default they would not delete the folder
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
        at = listening.getsockname()[1]
        print(f"unfold: open http://{_in_url(host)}:{at} in a browser (Ctrl-C ends it)", flush=True)
        server.run(sockets=[listening])


def _sweep(uploads: Path) -> None:
    """Delete files older than a minute: Gradio keeps an empty file of each upload, and the rest of
    interrupted uploads. (A chosen photo is in its visitor's folder.)"""
    while True:
        time.sleep(30)
        for file in uploads.rglob("*"):
            with contextlib.suppress(OSError):
                if file.is_file() and time.time() - file.stat().st_mtime > 60:
                    file.unlink()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AppError(
            f"cannot listen on {host}, port {port} ({reason}); choose others by --host and --port"
        ) from error


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _application(page, visits: Visits, limits: Limits, host: str, uploads: Path):
    import gradio as gr
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import FileResponse
    from gradio.themes import Default

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @application.get("/restored/{folder}/{name}")
    def restored(folder: str, name: str) -> FileResponse:
        path = visits.restored(folder, name)
        if path is None:
            raise HTTPException(404, "this photo is gone: restore it again")
        return FileResponse(path, filename=name, headers={"Cache-Control": "no-store"})

    gr.mount_gradio_app(
        application,
        page,
        path="",
        theme=Default(
            primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]
        ),
        css=style(),
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=limits.upload * 1024**2,
    )
    # A mounted Gradio page accepts any path as an uploaded file, unless it is marked as launched.
    page.has_launched = True
    application.add_middleware(Gate, host=host, megabytes=limits.upload, uploads=uploads)
    return application
