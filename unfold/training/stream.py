"""The data as an endless stream: item n is the same whoever makes it, and whenever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils import data

from unfold.data import Pair
from unfold.data.photos import Photos
from unfold.data.plain import Unpaired
from unfold.degradation.base import Degradation
from unfold.degradation.light import decode, encode
from unfold.losses import OTHER
from unfold.registry.spec import Spec
from unfold.synthesis import SynthesizedPhotos
from unfold.synthesis.pipeline import seeded
from unfold.terms import embed_kernel

from .error import TrainingError
from .phase import Phase
from .recipe import AnyData, MixedData, PairedData, PhotosData, SynthesizedData, UnpairedData

Item = dict[str, Any]


class Source(Protocol):
    """A finite data set whose items depend on the epoch and their index alone."""

    def __len__(self) -> int: ...

    def item(self, index: int, epoch: int) -> Item: ...


class Stream(data.Dataset):
    """Epoch after epoch of a source, each in an order of its own.

    Item n = epoch · len + place depends on ``(seed, n)`` alone. So the number of workers changes
    nothing, and to resume is to begin at n.

    Args:
        source: what is read.
        seed: of the orders and of what ``extra`` draws.
        extra: degradations of the item's input, and of its second input ``other``.
    """

    def __init__(self, source: Source, *, seed: int, extra: Sequence[Degradation] = ()) -> None:
        if not len(source):
            raise TrainingError("a stream of no photos: the data set is empty")
        self.source, self.seed, self.extra = source, seed, extra
        self._order: tuple[int, list[int]] = (-1, [])

    def __getitem__(self, n: int) -> Item:
        epoch, place = divmod(n, len(self.source))
        if self._order[0] != epoch:
            generator = seeded(self.seed, "order", epoch)
            order = torch.randperm(len(self.source), generator=generator).tolist()
            self._order = (epoch, order)
        item = self.source.item(self._order[1][place], epoch)
        if self.extra:
            item["input"] = self._worse(item["input"], seeded(self.seed, "extra", n))
            if OTHER in item:  # a second input of the scene, with noise of its own
                item[OTHER] = self._worse(item[OTHER], seeded(self.seed, "extra", OTHER, n))
        return item

    def _worse(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        x = image[None]
        for degradation in self.extra:
            linear = degradation.light == "linear"
            x = degradation(decode(x) if linear else x, generator=generator)
            x = encode(x) if linear else x
        return x[0].clamp(0, 1)


class TwoStreams(data.Dataset):
    """Photos that do not belong together: inputs of one stream, targets of another."""

    def __init__(self, inputs: Stream, targets: Stream) -> None:
        self.inputs, self.targets = inputs, targets

    def __getitem__(self, n: int) -> Item:
        bad, good = self.inputs[n], self.targets[n]
        return {"input": bad["input"], "target": good["input"], "name": bad["name"]}


class MixedStreams(data.Dataset):
    """Item n of one of several streams, drawn by their weights; which, ``(seed, n)`` decides.

    Entries of ``shapes`` that a stream does not have are NaN: unknown, which losses leave out. A
    photo whose kernel is unknown is taken for sharp: its kernel is a point.
    """

    def __init__(
        self,
        streams: Sequence[data.Dataset],
        weights: Sequence[float],
        seed: int,
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.streams, self.weights, self.seed = streams, torch.tensor(weights), seed
        self.shapes = shapes

    def __getitem__(self, n: int) -> Item:
        which = torch.multinomial(self.weights, 1, generator=seeded(self.seed, "mixed", n))
        unknown = {name: torch.full(shape, torch.nan) for name, shape in self.shapes.items()}
        if (kernel := unknown.get("kernel")) is not None:
            channels, h, w = kernel.shape
            unknown["kernel"] = embed_kernel(kernel.new_ones(1, channels, 1, 1), (h, w))[0]
        return {**unknown, **self.streams[int(which)][n]}


def open_stream(given: AnyData, phase: Phase, seed: int) -> data.Dataset:
    """The stream of a phase.

    Raises:
        ImageError, DataError: the data are not there, or not as they should be.
    """
    extra = [spec.build() for spec in phase.extra]
    if isinstance(given, UnpairedData):
        folders = Unpaired(given.input), Unpaired(given.target)
        bad, good = (_photos(pairs, given, phase.crop, seed + i) for i, pairs in enumerate(folders))
        # (Seeds apart: of folders of one size, the same two photos would always meet.)
        return TwoStreams(Stream(bad, seed=2 * seed, extra=extra), Stream(good, seed=2 * seed + 1))
    if isinstance(given, PhotosData):
        photos = _photos(Unpaired(given.source), given, phase.crop, seed)
        return Stream(photos, seed=seed, extra=extra)
    if isinstance(given, MixedData):
        streams = [open_stream(part.data, phase, seed + i) for i, part in enumerate(given.parts)]
        shapes: dict[str, tuple[int, ...]] = {}
        for part in given.parts:
            if isinstance(part.data, SynthesizedData):
                shapes |= part.data.shapes(phase.crop)
        return MixedStreams(streams, [part.weight for part in given.parts], seed, shapes)
    return Stream(open_pairs(given, phase.crop, seed), seed=seed, extra=extra)


def open_pairs(given: SynthesizedData | PairedData, crop: int | None, seed: int) -> Any:
    """Pairs, cropped where ``crop`` is given. Synthesized ones must be."""
    if isinstance(given, SynthesizedData):
        assert crop is not None
        return SynthesizedPhotos(
            given.source,
            given.recipe,
            crop=crop,
            margin=given.margin,
            seed=seed,
            kernel=given.kernel,
            kernel_known=given.kernel_known,
            kernel_error=given.kernel_error,
            pictures=given.pictures,
        )
    spec: Spec = given.dataset
    pairs: Sequence[Pair] = spec.build(given.root, given.split)
    if any(pair.target is None for pair in pairs):
        raise TrainingError(
            f"{given.root}: photos without targets; they train as data of kind unpaired or photos"
        )
    return _photos(pairs, given, crop, seed)


def _photos(
    pairs: Sequence[Pair],
    given: PairedData | UnpairedData | PhotosData,
    crop: int | None,
    seed: int,
) -> Photos:
    flip = given.flip and crop is not None
    return Photos(pairs, crop=crop, side=given.side, seed=seed, flip=flip)


def loader(
    stream: data.Dataset,
    phase: Phase,
    *,
    before: int,
    first: int,
    parts: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Iterator[Item]:
    """The parts of the batches of a phase, in their order.

    Step s takes the items ``before + s · batch ...``; each process takes its share of them, so
    that all together see the batch that one alone would.

    Args:
        stream: of the phase.
        phase: its steps and batch.
        before: items that the phases before it took.
        first: the step to begin with.
        parts: that each process cuts its share into.
        rank, world: which process of how many.
        workers: processes that read and degrade; 0: this one does.
    """
    places = []
    for step in range(first, phase.steps):
        n = before + step * phase.batch
        share = range(n + rank, n + phase.batch, world)
        places += [list(share[part::parts]) for part in range(parts)]
    return iter(
        data.DataLoader(
            stream,
            batch_sampler=places,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else the seeds of workers are drawn from ours
        )
    )
