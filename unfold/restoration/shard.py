"""Shards: the share of a folder that one of several processes restores."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Shard ``index``, from 1, of ``count``: a photo belongs to one by its content's SHA-256.

    So photos with the same bytes are of one shard, wherever they lie and whoever counts.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"2/8"``.

        Raises:
            ValueError: it is none.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"{text!r} is no shard; write it as I/N with I from 1 to N, e.g. 2/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, sha256: str) -> bool:
        """Whether a photo whose bytes have this SHA-256 is of this shard."""
        return int(sha256, 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"
