"""Shards: the share of a folder that one of several processes restores."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unfold.errors import InputError


@dataclass(frozen=True)
class Shard:
    """Shard ``index``, from 1, of ``count``: the SHA-256 of a photo's bytes determines its shard.

    So photos with the same bytes belong to one shard, whatever their paths.

    Example:
        >>> import hashlib
        >>> from unfold.restoration import Shard
        >>> first, second = Shard.parse("1/2"), Shard.parse("2/2")
        >>> digest = hashlib.sha256(b"a photo's bytes").hexdigest()
        >>> first.has(digest) + second.has(digest)
        1
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard from a text such as ``"2/8"``.

        Raises:
            InputError: if the text is not a shard.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(
                f"{text!r} is not a shard; write it as I/N with I from 1 to N, e.g. 2/8"
            )
        return cls(int(match[1]), int(match[2]))

    def has(self, sha256: str) -> bool:
        """Whether a photo whose bytes have this SHA-256 is of this shard."""
        return int(sha256, 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"
