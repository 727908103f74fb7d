"""Image files of every kind that the reader takes, damaged; read, and looked at for their size."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from fuzzing.hostile import scrambled
from photo_files import chunk
from PIL import Image

from unfold.imaging import ImageError, read, size_of, tiff

H, W = 24, 56
NUMBERS = [0, 1, 2, 3, 8, 16, 24, 56, 255, 4096, 1 << 16, 1 << 20, 1 << 24, 1 << 31, (1 << 32) - 1]


@cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """Sound files: suffix and bytes."""
    return (*_pngs(), *_jpegs(), *_tiffs())


def _samples(channels: int, bits: int) -> np.ndarray:
    y, x, c = np.mgrid[:H, :W, :channels]
    return ((x * 3 + y * 7 + c * 50) * (1 if bits == 8 else 150)).astype(f"uint{bits}")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _pngs():
    from unfold.imaging import png

    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield "png", _saved(Image.fromarray(_samples(3, 8)).convert(mode), "PNG", exif=exif)
    for channels in (1, 2, 3, 4):
        yield "png", png.encode(_samples(channels, 16), b"\0" * 200)


def _jpegs():
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            picture = Image.fromarray(_samples(3, 8)).convert(mode)
            yield "jpg", _saved(picture, "JPEG", progressive=progressive, exif=exif)


def _tiffs():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"):
        for codec in (None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "lzma", "zstd", "jpeg"):
            if codec != "jpeg" or mode in ("L", "RGB", "CMYK", "YCbCr"):
                picture = Image.fromarray(_samples(3, 8)).convert(mode)
                with contextlib.suppress(OSError):  # (Pillow may lack a codec)
                    yield "tif", _saved(picture, "TIFF", compression=codec)
    for codec in ("group3", "group4", "tiff_ccitt"):
        yield "tif", _saved(Image.fromarray(_samples(1, 8)[..., 0]).convert("1"), "TIFF",
                            compression=codec)  # fmt: skip
    for bits in (8, 16):
        for channels in (1, 2, 3, 4):
            for order in "<>":
                for options in (
                    {}, {"compression": "zlib", "rowsperstrip": 5}, {"tile": (16, 16)},
                    {"planarconfig": "separate"}, {"bigtiff": True},
                    {"planarconfig": "separate", "tile": (16, 32), "compression": "lzma"},
                ):  # fmt: skip
                    yield "tif", _layout(_samples(channels, bits), order, dict(options))
        white = _samples(1, bits)[..., 0]
        yield "tif", _layout(white[..., None], ">", {"photometric": "miniswhite"})


def _layout(samples: np.ndarray, order: str, options: dict) -> bytes:
    channels = samples.shape[2]
    if channels == 1:
        samples = samples[..., 0]
        options.pop("planarconfig", None)
    elif options.get("planarconfig") == "separate":
        samples = np.ascontiguousarray(samples.transpose(2, 0, 1))
    options.setdefault("photometric", "rgb" if channels > 2 else "minisblack")
    if channels in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    if channels == 2:
        options.setdefault("planarconfig", "contig")
    file = io.BytesIO()
    tifffile.imwrite(file, samples, byteorder=order, metadata=None, **options)
    return file.getvalue()


def make(rng: random.Random) -> dict[str, object]:
    """A damaged file, by its bytes, its segments or its tags."""
    suffix, data = rng.choice(seeds())
    if rng.random() < 0.35:
        return {"suffix": suffix, "data": scrambled(data, rng)}
    change = {"png": _chunks, "jpg": _segments, "tif": _tags}[suffix]
    for _ in range(rng.choice([1, 1, 2, 3])):
        data = change(data, rng)
    return {"suffix": suffix, "data": data if rng.random() < 0.9 else scrambled(data, rng)}


def _chunks(data: bytes, rng: random.Random) -> bytes:
    """A PNG with one chunk changed, its checksum right; or taken away, repeated, moved."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return data
    index = rng.randrange(len(chunks))
    name, body = chunks[index]
    action = rng.random()
    if action < 0.1:
        del chunks[index]
    elif action < 0.2:
        chunks.insert(rng.randrange(len(chunks)), (name, body))
    elif name == b"IHDR" and action < 0.7 and len(body) == 13:
        side = rng.randrange(2)
        body = body[: 4 * side] + struct.pack(">I", rng.choice(NUMBERS)) + body[4 * side + 4 :]
        chunks[index] = name, body
    elif name == b"IDAT" and action < 0.6:
        try:
            rows = scrambled(zlib.decompress(body), rng)
        except zlib.error:
            rows = bytes(rng.choice([0, 1, 10**5]))
        chunks[index] = name, zlib.compress(rows)
    else:
        chunks[index] = name, scrambled(body, rng)
    return data[:8] + b"".join(chunk(name, body) for name, body in chunks)


def _segments(data: bytes, rng: random.Random) -> bytes:
    """A JPEG with one segment changed, taken away or repeated; or with other sides."""
    marks = [at for at in range(2, len(data) - 4) if data[at] == 255 and data[at + 1] >= 0xC0]
    if not marks:
        return data
    at = rng.choice(marks)
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    action = rng.random()
    if data[at + 1] in (0xC0, 0xC2) and action < 0.5:
        side = at + 5 + 2 * rng.randrange(2)
        number = struct.pack(">H", rng.choice(NUMBERS) % (1 << 16))
        return data[:side] + number + data[side + 2 :]
    if action < 0.6:
        return data[:at] + data[end:]
    if action < 0.8:
        return data[:end] + data[at:end] * rng.choice([1, 2, 300]) + data[end:]
    return data[: at + 4] + scrambled(data[at + 4 : end], rng) + data[end:]


def _tags(data: bytes, rng: random.Random) -> bytes:
    """A TIFF with one entry of its directory changed: tag, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4].strip(b"\0") == b"+"
    try:
        at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        if not 0 < entries < 1000:
            return data
        entry = at + (8 + 20 * rng.randrange(entries) if big else 2 + 12 * rng.randrange(entries))
        letters = [(0, "H"), (2, "H"), (4, "Q" if big else "I"), (12 if big else 8, "I")]
        place, letter = rng.choice([*letters, letters[3], letters[3], letters[3]])
        tags = (tiff.WIDTH, tiff.BITS, tiff.COMPRESSION, tiff.TILE_WIDTH, tiff.PLANAR, tiff.FORMAT)
        number = rng.choice(rng.choice([NUMBERS, tuple(range(20)), tags, (len(data), at, 8)]))
        if letter == "I" and rng.random() < 0.3:  # (a short one lies in the first two bytes)
            letter = "H"
        limit = {"H": 1 << 16, "I": 1 << 32, "Q": 1 << 64}[letter]
        packed = struct.pack(order + letter, number % limit)
        return data[: entry + place] + packed + data[entry + place + len(packed) :]
    except struct.error:
        return data


def attempt(case: dict, folder: Path) -> bool:
    """Whether the file is a picture. Raises what a reader must not raise."""
    path = folder / f"case.{case['suffix']}"
    path.write_bytes(case["data"])
    size = None
    try:
        size = size_of(path)
    except ImageError as error:
        _check_message(str(error))
    try:
        photo = read(path)
    except ImageError as error:
        _check_message(str(error))
        _check_cause(error)
        return False
    height, width = photo.image.shape[1:]
    assert size in (None, (width, height)), f"{size} in the header, {(width, height)} decoded"
    assert photo.image.shape[0] == 3
    assert photo.image.min() >= 0
    assert photo.image.max() <= 1
    return True


def _check_message(said: str) -> None:
    assert "\n" not in said, f"two lines: {said}"
    assert ";" in said, f"no remedy: {said}"


def _check_cause(error: ImageError) -> None:
    """Our own code must not stumble, even where the reader turns all that fails into ImageError."""
    cause = error.__cause__
    if isinstance(cause, MemoryError):
        raise cause
    if isinstance(cause, TypeError | LookupError | ArithmeticError | AttributeError | ValueError):
        trace = cause.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None and "/unfold/" in trace.tb_frame.f_code.co_filename:
            raise cause


def write_down(case: dict, folder: Path) -> str:
    """Keep a case in a file; returns its path."""
    path = folder / f"case.{case['suffix']}"
    path.write_bytes(case["data"])
    return str(path)
