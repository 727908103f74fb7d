"""The data as an endless stream: item n is the same in every process and run."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils import data

from unfold.datasets import Pair
from unfold.datasets.photos import Kept, Photos
from unfold.datasets.plain import Unpaired
from unfold.degradation.base import Degradation
from unfold.degradation.color_space import decode, encode
from unfold.degradation.counter import counted
from unfold.degradation.rng import together
from unfold.losses import OTHER
from unfold.registry.spec import Spec
from unfold.synthesis import SynthesizedPhotos
from unfold.synthesis.pipeline import seeded
from unfold.terms import embed_kernel

from .error import TrainingError
from .phase import Phase
from .recipe import AnyData, MixedData, PairedData, PhotosData, SynthesizedData, UnpairedData

Item = dict[str, Any]


class BatchSource(Protocol):
    """A finite data set whose items depend only on the epoch and their index."""

    def __len__(self) -> int: ...

    def items(self, places: Sequence[tuple[int, int]]) -> list[Item]:
        """Items, each by its index and epoch."""
        ...


class Items(data.Dataset):
    """Items by number, single or in batches."""

    @abstractmethod
    def items(self, numbers: Sequence[int]) -> list[Item]:
        """The items of these numbers, in their order."""

    def __getitem__(self, n: int) -> Item:
        return self.items([n])[0]


class Stream(Items):
    """Successive epochs of a source, each in its own order.

    Item n = epoch · len + place depends only on ``(seed, n)``. The number of workers therefore has
    no effect, and training resumes at any n.

    Args:
        source: the data set.
        seed: seed of the orders and of ``extra``.
        extra: degradations of the input of an item, and of its second input ``other``.
        counts: whether their noise is drawn on the device of the item.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        seed: int,
        extra: Sequence[Degradation] = (),
        counts: bool = False,
    ) -> None:
        if not len(source):
            raise TrainingError("the data set has no photos")
        self.source, self.seed, self.extra, self.counts = source, seed, extra, counts
        self._order: tuple[int, list[int]] = (-1, [])

    def items(self, numbers: Sequence[int]) -> list[Item]:
        items = self.source.items([self._place(n) for n in numbers])
        # A second input of the scene has noise of its own.
        for entry, key in (("input", ()), (OTHER, (OTHER,))):
            if self.extra and entry in items[0]:
                generators = [seeded(self.seed, "extra", *key, n) for n in numbers]
                worse = self._worse(torch.stack([item[entry] for item in items]), generators)
                for item, image in zip(items, worse, strict=True):
                    item[entry] = image
        return items

    def _place(self, n: int) -> tuple[int, int]:
        epoch, place = divmod(n, len(self.source))
        if self._order[0] != epoch:
            generator = seeded(self.seed, "order", epoch)
            order = torch.randperm(len(self.source), generator=generator).tolist()
            self._order = (epoch, order)
        return self._order[1][place], epoch

    def _worse(self, x: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
        for degradation in self.extra:
            drawn = together([degradation.sample(1, generator) for generator in generators])
            parameters = {name: value.to(x.device) for name, value in drawn.items()}
            linear = degradation.color_space == "linear"
            with counted() if self.counts else contextlib.nullcontext():
                x = degradation.apply(decode(x) if linear else x, parameters)
            x = encode(x) if linear else x
        return x.clamp(0, 1)


class TwoStreams(Items):
    """Unpaired photos: inputs from one stream, targets from another."""

    def __init__(self, inputs: Stream, targets: Stream) -> None:
        self.inputs, self.targets = inputs, targets

    def items(self, numbers: Sequence[int]) -> list[Item]:
        pairs = zip(self.inputs.items(numbers), self.targets.items(numbers), strict=True)
        return [
            {"input": bad["input"], "target": good["input"], "name": bad["name"]}
            for bad, good in pairs
        ]


class MixedStreams(Items):
    """Item n from one of several streams, which is drawn from ``(seed, n)`` by their weights.

    Entries of ``shapes`` that a stream does not have are NaN, which losses ignore. A photo with an
    unknown kernel counts as sharp: its kernel is a point.
    """

    def __init__(
        self,
        streams: Sequence[Items],
        weights: Sequence[float],
        seed: int,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.streams, self.weights, self.seed = streams, torch.tensor(weights), seed
        self.shapes = shapes

    def items(self, numbers: Sequence[int]) -> list[Item]:
        found: dict[int, Item] = {}
        which = [self._which(n) for n in numbers]
        for stream in sorted(set(which)):
            places = [place for place, chosen in enumerate(which) if chosen == stream]
            items = self.streams[stream].items([numbers[place] for place in places])
            found |= zip(places, items, strict=True)
        return [{**self._unknown(found[i]), **found[i]} for i in range(len(numbers))]

    def _which(self, n: int) -> int:
        generator = seeded(self.seed, "mixed", n)
        return int(torch.multinomial(self.weights, 1, generator=generator))

    def _unknown(self, item: Item) -> Item:
        """The entries that an item does not have."""
        like: torch.Tensor = item["input"]
        shapes = {name: shape for name, shape in self.shapes.items() if name not in item}
        unknown = {name: like.new_full(shape, torch.nan) for name, shape in shapes.items()}
        if (kernel := unknown.get("kernel")) is not None:
            channels, h, w = kernel.shape
            unknown["kernel"] = embed_kernel(kernel.new_ones(1, channels, 1, 1), (h, w))[0]
        return unknown


def open_stream(given: AnyData, phase: Phase, seed: int, kept: Kept | None = None) -> Items:
    """The stream of a phase.

    Args:
        given: the data.
        phase: the phase, with the size of crops and further degradations.
        seed: seed of all random numbers.
        kept: cache of the photos on the device on which items are synthesized; None: the files are
            read each time, and items are synthesized on the CPU.

    Raises:
        ImageError, DataError: if data are missing or invalid.
    """
    extra = [spec.build() for spec in phase.extra]
    if isinstance(given, UnpairedData):
        folders = Unpaired(given.input), Unpaired(given.target)
        bad, good = (
            _photos(pairs, given, phase.crop, seed + i, kept) for i, pairs in enumerate(folders)
        )
        # (Seeds apart: of folders of one size, the same two photos would always meet.)
        return TwoStreams(
            Stream(bad, seed=2 * seed, extra=extra, counts=kept is not None),
            Stream(good, seed=2 * seed + 1),
        )
    if isinstance(given, PhotosData):
        photos = _photos(Unpaired(given.source), given, phase.crop, seed, kept)
        return Stream(photos, seed=seed, extra=extra, counts=kept is not None)
    if isinstance(given, MixedData):
        streams = [
            open_stream(part.data, phase, seed + i, kept) for i, part in enumerate(given.parts)
        ]
        shapes: dict[str, tuple[int, ...]] = {}
        for part in given.parts:
            if isinstance(part.data, SynthesizedData):
                shapes |= part.data.shapes(phase.crop)
        return MixedStreams(streams, [part.weight for part in given.parts], seed, shapes)
    pairs = open_pairs(given, phase.crop, seed, kept)
    return Stream(pairs, seed=seed, extra=extra, counts=kept is not None)


def open_pairs(
    given: SynthesizedData | PairedData, crop: int | None, seed: int, kept: Kept | None = None
) -> Any:
    """Pairs, cropped if ``crop`` is given, which synthesized pairs require."""
    if isinstance(given, SynthesizedData):
        assert crop is not None
        return SynthesizedPhotos(
            given.source,
            given.recipe,
            crop=crop,
            margin=given.margin,
            seed=seed,
            kernel_size=given.kernel_size,
            kernel_known=given.kernel_known,
            kernel_error=given.kernel_error,
            pictures=given.pictures,
            kept=kept,
        )
    spec: Spec = given.dataset
    pairs: Sequence[Pair] = spec.build(given.root, given.split)
    if any(pair.target is None for pair in pairs):
        raise TrainingError(
            f"{given.root}: the photos have no targets; use data of kind unpaired or photos"
        )
    return _photos(pairs, given, crop, seed, kept)


def _photos(
    pairs: Sequence[Pair],
    given: PairedData | UnpairedData | PhotosData,
    crop: int | None,
    seed: int,
    kept: Kept | None,
) -> Photos:
    flip = given.flip and crop is not None
    return Photos(pairs, crop=crop, side=given.side, seed=seed, flip=flip, kept=kept)


def loader(
    stream: Items,
    phase: Phase,
    *,
    before: int,
    first: int,
    parts: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
    batched: bool = False,
) -> Iterator[Item]:
    """The parts of the batches of a phase, in their order.

    Step s uses the items ``before + s · batch ...``. They are distributed to the processes, which
    together use the same batch as a single process.

    Args:
        stream: stream of the phase.
        phase: the phase, with its steps and batch.
        before: number of items of the previous phases.
        first: first step.
        parts: number of parts into which each process divides its share.
        rank, world_size: index of the process, and number of processes.
        workers: number of processes that read and degrade photos; 0: this process does.
        batched: whether the items of a part are synthesized together, by this process.
    """
    places = []
    for step in range(first, phase.steps):
        n = before + step * phase.batch
        share = range(n + rank, n + phase.batch, world_size)
        places += [list(share[part::parts]) for part in range(parts)]
    if batched:
        return (data.default_collate(stream.items(numbers)) for numbers in places)
    return iter(
        data.DataLoader(
            stream,
            batch_sampler=places,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else the seeds of workers are drawn from ours
        )
    )
