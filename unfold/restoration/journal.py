"""The journal of a restored folder: the result for each photo, line by line."""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfold._files import BusyError, lock, replace_file
from unfold.imaging import ImageError
from unfold.imaging.io import destination

from .files import FileResult
from .written import Written

OTHERS = "there is a file that unfold did not write, or that was changed afterwards"
MOVE = "move it away, or choose another output"


@dataclass(frozen=True)
class SourceFile:
    """A file at the time when it was read.

    Attributes:
        path: path of the file.
        sha256: hash of its bytes.
        size: number of bytes.
        mtime_ns: time of the last change, from the file system.
    """

    path: Path
    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """The last record of a target."""

    status: str
    run: str
    sha256: str | None
    size: int | None
    mtime_ns: int | None
    output_sha256: str | None
    output_size: int | None


class Journal:
    """A JSON-lines file beside restored photos, from which an interrupted run resumes.

    A line is added before an output is put in place (``writing``, with the output's SHA-256), after
    it (``done``), and when a photo fails (``failed``). So whenever a run is killed, the next one
    knows which photos are done; a truncated line is dropped. A journal belongs to one process at a
    time.

    Each line holds ``status``, ``time`` (UTC), ``target`` (relative to the journal's folder),
    ``source``, ``sha256``, ``size`` and ``mtime_ns`` of the source, ``run``; ``seconds``,
    ``output_sha256`` and ``output_size``, or ``error`` (then they are those of what an earlier run
    wrote there). A line of status ``run`` holds the settings of a run: model, weights, options.

    Args:
        path: ``.jsonl``; created with its folder if it does not exist.
        settings: everything besides the photos that affects the outputs, as JSON values.

    Threads may share it.

    Raises:
        ImageError: if it is in use, damaged, or cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.restoration import Journal, read_journal
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source, target = Path(folder, "in.png"), Path(folder, "out.png")
        ...     journal = Journal(Path(folder, "journal.jsonl"), {"model": "tv-deblur"})
        ...     journal.fail(source, target, "in.png: there is no such file")
        ...     journal.close()
        ...     read_journal(journal.path)["out.png"]["error"]
        'in.png: there is no such file'
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._adding = threading.Lock()
        self.settings = settings
        text = json.dumps(settings, sort_keys=True)
        self.run = hashlib.sha256(text.encode()).hexdigest()[:16]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
            lock(self._file)
        except BusyError as error:
            raise ImageError(
                f"{path}: process {error.owner} restores to this folder; wait until it ends, or "
                "choose another"
            ) from error
        except OSError as error:
            raise ImageError(
                f"{path}: cannot be opened ({error.strerror}); choose another output"
            ) from error
        try:
            self._entries: dict[str, _Entry] = {}
            self._written = Written(path, _records)
            self._recover(self._read())
            self.add({"status": "run", "run": self.run, "settings": dict(settings)})
        except OSError as error:
            self._file.close()
            raise ImageError(
                f"{path}: cannot be written ({error.strerror}); choose another output"
            ) from error
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Release the journal for other processes."""
        self._file.close()

    def unchanged(self, source: Path, target: Path) -> bool:
        """Whether a photo was restored by a run like this one, and neither it nor the output seems
        to have been touched since (by sizes and time; nothing is read)."""
        entry = self._entries.get(self._name(target))
        if entry is None:
            return False
        try:
            status = source.stat()
        except OSError:
            return False
        same = (entry.size, entry.mtime_ns) == (status.st_size, status.st_mtime_ns)
        return same and self._is_done(entry, target)

    def holds(self, source: SourceFile, target: Path) -> bool:
        """Whether a photo with these bytes was restored by a run like this one."""
        entry = self._entries.get(self._name(target))
        return entry is not None and entry.sha256 == source.sha256 and self._is_done(entry, target)

    def check_there(self) -> None:
        """Check that the journal and the folder of the outputs still exist.

        Raises:
            ImageError: if it was removed or moved after it was opened.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno())):
                return
        raise ImageError(f"{self.path} was removed during the run; run the same command again")

    def may_write(self, target: Path) -> bool:
        """Whether there is no file, or an output that a journal of the folder records.

        (It is not read here; `put` reads it and checks whether it has changed.)
        """
        return not os.path.lexists(target) or self._written.tells_of(self._name(target))

    def put(self, source: SourceFile, target: Path, data: bytes, seconds: float) -> None:
        """Write an output, with a record before and after.

        Raises:
            OSError: if it cannot be written; an older file is not changed.
            ImageError: if the file exists and is not a recorded output, or has changed.
        """
        place = destination(target)
        if place.exists() and not self._written.made(self._name(target), place):
            raise ImageError(f"{OTHERS}; {MOVE}")
        record = {
            **self._of(source, target),
            "seconds": round(seconds, 4),
            "output_sha256": hashlib.sha256(data).hexdigest(),
            "output_size": len(data),
        }
        self.add({"status": "writing", **record})
        beside = _beside(place)
        beside.unlink(missing_ok=True)  # of a run that was killed
        replace_file(place, data, temporary=beside)
        self.add({"status": "done", **record})

    def fail(self, source: SourceFile | Path, target: Path, error: str) -> None:
        """Record why a photo was not restored. The next run tries it again, also if there is no
        space left for this line."""
        before = self._entries.get(self._name(target))
        stands = {} if before is None or before.output_sha256 is None else {
            "output_sha256": before.output_sha256, "output_size": before.output_size
        }  # fmt: skip
        with contextlib.suppress(OSError):
            self.add({"status": "failed", **self._of(source, target), "error": error, **stands})

    def _of(self, source: SourceFile | Path, target: Path) -> dict[str, Any]:
        known = source if isinstance(source, SourceFile) else SourceFile(source, "", 0, 0)
        facts = {"sha256": known.sha256, "size": known.size, "mtime_ns": known.mtime_ns}
        return {
            "target": self._name(target),
            "source": str(known.path),
            **(facts if known.sha256 else {}),
            "run": self.run,
        }

    def _name(self, target: Path) -> str:
        return os.path.relpath(target, self.path.parent)

    def _is_done(self, entry: _Entry, target: Path) -> bool:
        if entry.status != "done" or entry.run != self.run:
            return False
        with contextlib.suppress(OSError):
            return target.stat().st_size == entry.output_size
        return False

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a line; also one of another journal in the same folder.

        Raises:
            OSError: if there is no space left.
        """
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        # (ASCII: a name may hold bytes that are no characters.)
        line = (json.dumps({"time": now, **record}) + "\n").encode()
        with self._adding:
            end = self._file.seek(0, os.SEEK_END)
            if (self._file.write(line) or 0) < len(line):  # the disk is full
                self._file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._note(record)

    def _note(self, record: Mapping[str, Any]) -> None:
        self._written.note(record)
        if "target" in record:
            self._entries[record["target"]] = _entry(record)

    def _mended(self) -> Iterator[dict[str, Any]]:
        """The records; a truncated last line is removed."""
        self._file.seek(0)
        end = 0
        for line in self._file.readlines():
            if not line.endswith(b"\n"):
                break
            end += len(line)
            yield _record(line, self.path)
        self._file.truncate(end)

    def _read(self) -> list[dict[str, Any]]:
        """Note the result of each target. Returns the records of unfinished outputs."""
        writing: dict[str, dict[str, Any]] = {}
        for record in self._mended():
            self._note(record)
            if "target" in record:
                writing.pop(record["target"], None)
                if record["status"] == "writing":
                    writing[record["target"]] = record
        return list(writing.values())

    def _recover(self, writing: list[dict[str, Any]]) -> None:
        """Mark outputs as done that were complete when a run was killed."""
        for record in writing:
            target = self.path.parent / record["target"]
            _beside(target.resolve()).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                if hashlib.sha256(target.read_bytes()).hexdigest() == record["output_sha256"]:
                    self.add({**record, "status": "done"})


def without_others(
    pairs: Sequence[tuple[Path, Path]], journal: Journal
) -> tuple[list[tuple[Path, Path]], list[FileResult]]:
    """The pairs whose output does not replace other files, and failed results for the rest.

    A file that no journal of its folder records as an output is not replaced.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.restoration import Journal, without_others
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = Journal(Path(folder, "journal.jsonl"), {"model": "tv-deblur"})
        ...     taken, free = Path(folder, "taken.png"), Path(folder, "free.png")
        ...     _ = taken.write_bytes(b"of someone else")
        ...     pairs, refused = without_others([(free, taken), (taken, free)], journal)
        ...     journal.close()
        >>> [target.name for _, target in pairs], [result.target.name for result in refused]
        (['free.png'], ['taken.png'])
    """
    ours: list[tuple[Path, Path]] = []
    failed: list[FileResult] = []
    for source, target in pairs:
        if journal.may_write(target):
            ours.append((source, target))
        else:
            said = f"{source}: would be written to {target}, but {OTHERS}; {MOVE}"
            failed.append(FileResult(source, target, str(ImageError(said))))
    return ours, failed


def read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Target -> its last record. A truncated last line is ignored.

    Raises:
        ImageError: if it cannot be read or is not a journal.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.restoration import Journal, read_journal
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = Journal(Path(folder, "journal.jsonl"), {"model": "tv-deblur"})
        ...     journal.fail(Path(folder, "in.png"), Path(folder, "out.png"), "is no picture")
        ...     journal.close()
        ...     {target: last["status"] for target, last in read_journal(journal.path).items()}
        {'out.png': 'failed'}
    """
    try:
        return {record["target"]: record for record in _records(path) if "target" in record}
    except OSError as error:
        raise ImageError(
            f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
        ) from error


def merge_journals(paths: list[Path], output: Path) -> dict[str, int]:
    """One journal of several, such as those of all shards: the last record of each target.

    Of several records of one target, ``done`` takes precedence over ``writing`` and ``failed``, and
    a later one over an earlier one.

    Args:
        paths: paths of the journals, all in one folder.
        output: path of the merged journal, in that folder; it may be one of them.

    Returns:
        Status -> number of targets.

    Raises:
        ImageError: if a journal cannot be read or is in another folder, or the output cannot be
            written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unfold.restoration import Journal, merge_journals
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [Path(folder, "first.jsonl"), Path(folder, "second.jsonl")]
        ...     for path, name in zip(paths, ("a.png", "b.png")):
        ...         journal = Journal(path, {"model": "tv-deblur"})
        ...         journal.fail(Path(folder, name), Path(folder, "out", name), "is no picture")
        ...         journal.close()
        ...     merge_journals(paths, Path(folder, "all.jsonl"))
        {'failed': 2}
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in paths:
        if path.resolve().parent != output.resolve().parent:
            raise ImageError(
                f"{path}: is in another folder than {output}; targets are relative to the folder "
                "of a journal, so put all journals into one folder"
            )
        for target, record in read_journal(path).items():
            if target not in merged or _rank(record) >= _rank(merged[target]):
                merged[target] = record
    lines = [json.dumps(merged[target]) + "\n" for target in sorted(merged)]
    try:
        replace_file(output, "".join(lines).encode())
    except OSError as error:
        raise ImageError(f"{output}: cannot be written ({error.strerror})") from error
    statuses = [record["status"] for record in merged.values()]
    return {status: statuses.count(status) for status in dict.fromkeys(statuses)}


def _beside(target: Path) -> Path:
    """The temporary path of an output, from which the output of a killed run is recovered."""
    return target.with_name(
        f".unfold.{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}.tmp"
    )


def _rank(record: Mapping[str, Any]) -> tuple[bool, str]:
    return record["status"] == "done", record["time"]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _record(line, path)


def _record(line: bytes, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if record["status"] and record["time"]:
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise ImageError(f"{path}: is not a journal, or is damaged; move it away to start a new one")


def _entry(record: Mapping[str, Any]) -> _Entry:
    names = ("sha256", "size", "mtime_ns", "output_sha256", "output_size")
    return _Entry(record["status"], record["run"], *(record.get(name) for name in names))
