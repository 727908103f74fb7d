"""For each check of a reader one that is wrong in that way only: the check must see it."""

from dataclasses import replace
from pathlib import Path

import pytest
from layouts import LAYOUTS, put

from unfold.datasets import DataError, Dataset, Pair
from unfold.datasets.plain import Paired
from unfold.registry.catalog import Component
from unfold.testing import datasets
from unfold.testing.check import Check, ConformanceError
from unfold.testing.tools import Subject


class Good(Dataset):
    """Pairs as ``paired`` reads them, in two splits that are the same photos."""

    title = "Good"
    splits = ("train", "test")

    def find(self, errors):
        return Paired.find(self, errors)  # type: ignore[arg-type]

    places, kernel_dir = ("input", "target"), ""


def changed(change):
    """A reader that changes its pairs once they are checked."""

    def __init__(self, root, split="", *, strict=True):
        Good.__init__(self, root, split, strict=strict)
        self.pairs = tuple(change(self.pairs))

    return type("Changed", (Good,), {"__init__": __init__})


def renamed(name):
    return changed(lambda pairs: (replace(p, name=name(p.name)) for p in pairs))


class Untitled(Good):
    title = ""


class Complains(Good):
    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split, strict=strict)
        self.errors = ("all is well",)


class Shuffles(Good):
    """Names come in order, but whose they are changes from one reading to the next."""

    calls = 0

    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split, strict=strict)
        Shuffles.calls += 1
        turned = self.pairs[Shuffles.calls % 2 :] + self.pairs[: Shuffles.calls % 2]
        self.pairs = tuple(replace(p, name=q.name) for p, q in zip(turned, self.pairs, strict=True))


class KeepsACache(Good):
    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split, strict=strict)
        (self.root / "cache.json").write_text("{}")


class AnySplit(Good):
    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split if split in self.splits else "", strict=strict)


class FirstSplit(Good):
    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split or "train", strict=strict)


class SilentOnSplits(Good):
    def __init__(self, root, split="", *, strict=True):
        if split not in ("", *self.splits):
            raise DataError("no")
        super().__init__(root, split, strict=strict)


class EmptyIsFine(Good):
    def __init__(self, root, split="", *, strict=True):
        try:
            super().__init__(root, split, strict=strict)
        except DataError:
            if split or any(Path(root).glob("*/*")):
                raise
            self.pairs, self.errors = (), ()


class RaisesAnything(Good):
    def __init__(self, root, split="", *, strict=True):
        if not Path(root).is_dir():
            raise FileNotFoundError(root)
        super().__init__(root, split, strict=strict)


class SeesHidden(Good):
    def find(self, errors):
        hidden = (self.root / "input").glob(".*.png")
        return (*(Pair(f"!{p.stem}", p) for p in hidden), *super().find(errors))


class OneAtATime(Good):
    def __init__(self, root, split="", *, strict=True):
        try:
            super().__init__(root, split, strict=strict)
        except DataError as error:
            raise DataError("there is an error", error.errors[:1]) from error


class LooksAway(Good):
    """Goes on with everything, errors or not."""

    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split, strict=strict)
        if not strict:
            self.pairs = self.find([])


class Forgets(Good):
    """Goes on with the good ones, and keeps no account of the others."""

    def __init__(self, root, split="", *, strict=True):
        super().__init__(root, split, strict=strict)
        self.errors = ()


class DropsSingles(Good):
    def find(self, errors):
        return super().find([])


OF_OPTIONS = {"spec", "bounds"}  # they ask for a registered name
WRONG = [
    ("type", lambda root, split="", **options: list(Good(root, split, **options))),
    ("type", Untitled),
    ("type", Complains),
    ("type", changed(lambda pairs: pairs[:2])),
    ("type", changed(lambda pairs: (p.input for p in pairs))),
    ("names", renamed(lambda name: "same")),
    ("names", renamed(lambda name: f"/{name}")),
    ("names", renamed(lambda name: f"../{name}")),
    ("names", renamed(lambda name: f"a//{name}")),
    ("names", changed(lambda pairs: pairs[::-1])),
    ("files", changed(lambda pairs: (replace(p, target=p.input.parent) for p in pairs))),
    ("files", changed(lambda pairs: (replace(p, target=Path("no.png")) for p in pairs))),
    ("determinism", Shuffles),
    ("no-mutation", KeepsACache),
    ("splits", AnySplit),
    ("splits", FirstSplit),
    ("splits", SilentOnSplits),
    ("nothing-there", EmptyIsFine),
    ("nothing-there", RaisesAnything),
    ("hidden-files", SeesHidden),
    ("errors-together", OneAtATime),
    ("errors-together", LooksAway),
    ("errors-together", Forgets),
    ("missing-target", DropsSingles),
]


def check(name, reader, registered=None):
    subject = Subject(reader, LAYOUTS["paired"], registered, "datasets")
    return Check(name, datasets.CHECKS[name].run, subject)


@pytest.mark.parametrize(("name", "reader"), WRONG)
def test_each_check_sees_what_is_wrong(name, reader):
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        check(name, reader)()


@pytest.mark.parametrize("name", [name for name in datasets.CHECKS if name not in OF_OPTIONS])
def test_a_good_reader_passes(name):
    check(name, Good)()


def test_of_sizes_that_differ(tmp_path):
    put(tmp_path / "other.png", 0, (5, 5))
    views = {"left": tmp_path / "other.png"}
    reader = changed(lambda pairs: (replace(p, views=views) for p in pairs))
    with pytest.raises(ConformanceError, match="^files: the files of 2 have several sizes"):
        check("files", reader)()


@pytest.mark.parametrize(
    ("name", "annotation", "default"), [("spec", object, object()), ("bounds", int, 1)]
)
def test_of_options(monkeypatch, name, annotation, default):
    class Vague(Good):
        def __init__(self, root, split="", *, rate=default, strict: bool = True):
            super().__init__(root, split, strict=strict)

    Vague.__init__.__annotations__["rate"] = annotation
    entry = Component("datasets", "vague", "acme", "1", f"acme:{name}")
    monkeypatch.setattr("unfold.registry.spec.find", lambda group, name: entry)
    monkeypatch.setattr("unfold.registry.spec.load", lambda found: Vague)
    with pytest.raises(ConformanceError, match=f"^{name}: "):
        check(name, Vague, "vague")()


def test_every_check_has_a_wrong_reader():
    assert {name for name, _ in WRONG} == set(datasets.CHECKS) - OF_OPTIONS
