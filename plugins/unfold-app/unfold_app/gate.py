"""Checks of requests to the server, and security headers of its answers."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

# The browser connects to no other machine, not even for Gradio's own pages.
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; "
    b"form-action 'none'; base-uri 'self'"
)
_MEGABYTE = 1024**2
_BODY = _MEGABYTE  # largest body of a request that is not an upload
_FORM = 64 * 1024  # size of an upload's form without the file
_LINGER = 2.0  # seconds for which the rest of a refused request is read and discarded
_UPLOADS = 20  # number of files of the largest size that may be on the disk; kept for a minute


class Gate:
    """An ASGI application that checks requests before it passes them to the page.

    It refuses requests that name another host (if it listens on localhost only: a web page whose
    host name resolves to this address), requests from a page of another origin, too large bodies,
    and uploads while the visitors' files on the disk take too much space.

    Args:
        app: application of the page.
        host: address on which the server listens.
        megabytes: largest size of an upload.
        uploads: folder of the uploads.
    """

    def __init__(self, app, *, host: str, megabytes: int, uploads: Path) -> None:
        self.app, self.alone, self.uploads = app, _is_loopback(host), uploads
        self.largest = megabytes * _MEGABYTE

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(receive, send, *refusal)
            return
        most, got, answered = self._most(scope), 0, False

        async def receiving():
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return {"type": "http.disconnect"} if got > most else message

        async def sending(message) -> None:
            nonlocal answered
            if got > most and not answered:  # the page's answer to an incomplete body is discarded
                return
            if message["type"] == "http.response.start":
                answered = True
                policy = (b"content-security-policy", _POLICY), (b"referrer-policy", b"no-referrer")
                message = {**message, "headers": [*message["headers"], *policy]}
            await send(message)

        try:
            await self.app(scope, receiving, sending)
        except Exception:
            if got <= most:
                raise
        if got > most and not answered:
            await _answer(receive, send, 413, _too_large(most))

    def _refusal(self, scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self.alone and not _is_loopback(_name(f"//{host}")):
            return 400, f"this page is at localhost, not at {host[:100]!r}"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests must come from this page, not from {origin[:100]!r}"
        length = headers.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > self._most(scope):
            return 413, _too_large(self._most(scope))
        if _uploads(scope) and _size(self.uploads) > _UPLOADS * self.largest:
            return 503, "too many photos are being uploaded: try again in a minute"
        return None

    def _most(self, scope) -> int:
        return self.largest + _FORM if _uploads(scope) else _BODY


def _uploads(scope) -> bool:
    return scope["path"].rstrip("/").endswith("/upload")


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # deleted
            continue
    return total


def _too_large(most: int) -> str:
    return f"a request may have at most {most} bytes"


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _answer(receive, send, status: int, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    # If a connection is closed while data arrives, it is reset, and the visitor loses the answer.
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_read_away(receive), _LINGER)
    await send({"type": "http.response.body"})


async def _read_away(receive) -> None:
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
