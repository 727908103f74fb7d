"""Restoration of photos of any size, from files and in Python."""

from .batch import restore_files
from .device import parse_bytes
from .files import FileResult, Shard, is_file, plan
from .journal import Journal, merge_journals, read_journal, without_others
from .kernel_file import read_kernel
from .tiling import Restored, TiledInference, Tiling
from .trust import with_trust

__all__ = [
    "FileResult",
    "Journal",
    "Restored",
    "Shard",
    "TiledInference",
    "Tiling",
    "is_file",
    "merge_journals",
    "parse_bytes",
    "plan",
    "read_journal",
    "read_kernel",
    "restore_files",
    "with_trust",
    "without_others",
]
