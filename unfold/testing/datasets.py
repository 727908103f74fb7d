"""Checks of the reader of a data set.

``subject.make`` is the reader, called ``make(root, split, strict=...)``, and ``subject.state``
writes a small data set without errors into an empty folder. Several splits may contain the same
photos; the default split contains at least three.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import cast

from unfold.datasets import DataError, Dataset, Pair
from unfold.datasets.folder import natural
from unfold.imaging import read

from .options import bounds_its_numbers
from .tools import Rule, Subject, need, spec_round_trip


@contextmanager
def _data_set(subject: Subject) -> Iterator[Path]:
    layout = cast("Callable[[Path], object]", subject.state)
    with tempfile.TemporaryDirectory() as folder:
        layout(Path(folder))
        yield Path(folder)


def _read(subject: Subject, root: Path, *split: str, **options: bool) -> Dataset:
    return cast("Callable[..., Dataset]", subject.make)(root, *split, **options)


def _refusal(subject: Subject, root: Path, what: str, *split: str) -> DataError:
    try:
        _read(subject, root, *split)
    except DataError as error:
        return error
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__}, not a DataError") from error
    raise AssertionError(f"{what} is not refused")


def is_a_data_set(subject: Subject) -> None:
    with _data_set(subject) as root:
        dataset = _read(subject, root)
        need(
            isinstance(dataset, Dataset), f"{type(dataset).__name__} is no unfold.datasets.Dataset"
        )
        need(bool(dataset.title), "it has no title")
        need(len(dataset) >= 3, f"{len(dataset)} photos were found, these checks need 3")
        need(all(isinstance(pair, Pair) for pair in dataset), "an item is not a Pair")
        need(
            list(dataset) == [dataset[i] for i in range(len(dataset))], "index and iterator differ"
        )
        need(dataset.errors == (), f"a data set without errors reports {dataset.errors}")


def names_its_photos(subject: Subject) -> None:
    with _data_set(subject) as root:
        names = [pair.name for pair in _read(subject, root)]
        need(len(set(names)) == len(names), "two photos have the same name")
        need(names == sorted(names, key=natural), "photos are not in the order of their names")
        for name in names:
            parts = PurePosixPath(name).parts
            plain = "/".join(parts) == name and ".." not in parts and not name.startswith("/")
            need(plain and bool(name), f"{name!r} cannot be a file below a folder")


def has_its_files(subject: Subject) -> None:
    with _data_set(subject) as root:
        for pair in _read(subject, root):
            shapes = {tuple(read(file).image.shape) for file in pair.files}
            need(len(shapes) == 1, f"the files of {pair.name} have several sizes: {shapes}")


def is_repeatable(subject: Subject) -> None:
    with _data_set(subject) as root:
        need(list(_read(subject, root)) == list(_read(subject, root)), "two readings differ")


def leaves_files_alone(subject: Subject) -> None:
    def state(root: Path) -> dict[Path, bytes | None]:
        return {p: p.read_bytes() if p.is_file() else None for p in root.rglob("*")}

    with _data_set(subject) as root:
        before = state(root)
        _read(subject, root)
        need(state(root) == before, "reading changed the data set")


def knows_its_splits(subject: Subject) -> None:
    with _data_set(subject) as root:
        dataset = _read(subject, root)
        last = dataset.splits[-1] if dataset.splits else ""
        need(dataset.split == last, f"the default split is {dataset.split!r}, not the last one")
        for split in dataset.splits:
            need(_read(subject, root, split).split == split, f"the split {split!r} is ignored")
        said = str(_refusal(subject, root, "an unknown split", "no-such-split"))
        for split in dataset.splits:
            need(split in said, f"the message for an unknown split, {said!r}, lacks {split!r}")


def refuses_what_is_not_there(subject: Subject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _refusal(subject, Path(folder), "an empty folder")
        missing = Path(folder, "missing")
        said = str(_refusal(subject, missing, "a missing folder"))
        need(str(missing) in said, f"the message for a missing folder, {said!r}, does not name it")


def passes_over_hidden_files(subject: Subject) -> None:
    with _data_set(subject) as root:
        want = list(_read(subject, root))
        for pair in want:
            pair.input.with_name(f".{pair.input.name}").write_bytes(pair.input.read_bytes())
        need(list(_read(subject, root)) == want, "hidden files change the result")


def reports_all_errors_together(subject: Subject) -> None:
    with _data_set(subject) as root:
        pairs = list(_read(subject, root))
        pairs[0].input.write_bytes(b"")
        pairs[1].input.write_bytes(pairs[1].input.read_bytes()[:-20])
        error = _refusal(subject, root, "a data set with an empty and a truncated file")
        for pair in pairs[:2]:
            named = any(pair.input.name in problem for problem in error.errors)
            need(named, f"no error names {pair.input.name}; the errors are {error.errors}")
        rest = _read(subject, root, strict=False)
        need(list(rest) == pairs[2:], "strict=False does not keep exactly the valid photos")
        need(rest.errors == error.errors, "strict=False reports other errors than strict=True")


def misses_a_target(subject: Subject) -> None:
    with _data_set(subject) as root:
        targets = [pair.target for pair in _read(subject, root) if pair.target]
        if targets:
            targets[0].unlink()
            errors = _refusal(subject, root, "a missing target").errors
            need(bool(errors), "a missing target causes no error")


def has_a_spec(subject: Subject) -> None:
    """The registered spec can be saved as JSON and loaded again, and builds the reader."""
    again = spec_round_trip(subject)
    with _data_set(subject) as root:
        need(
            list(again.build(root)) == list(_read(subject, root)), "the spec builds another reader"
        )


CHECKS = {
    "type": Rule(is_a_data_set),
    "names": Rule(names_its_photos),
    "files": Rule(has_its_files),
    "determinism": Rule(is_repeatable),
    "no-mutation": Rule(leaves_files_alone),
    "splits": Rule(knows_its_splits),
    "nothing-there": Rule(refuses_what_is_not_there),
    "hidden-files": Rule(passes_over_hidden_files),
    "errors-together": Rule(reports_all_errors_together),
    "missing-target": Rule(misses_a_target),
    "spec": Rule(has_a_spec, named=True),
    "bounds": Rule(bounds_its_numbers, named=True),
}
