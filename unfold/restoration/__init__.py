"""A model on real files, of any size."""

from .batch import restore_files
from .file_ledger import FileLedger, merge_ledgers, read_ledger, without_others
from .files import Outcome, is_file, plan
from .kernel_file import read_kernel
from .memory import parse_bytes
from .shard import Shard
from .tiling import AnySize, Restored, Tiling

__all__ = [
    "AnySize",
    "FileLedger",
    "Outcome",
    "Restored",
    "Shard",
    "Tiling",
    "is_file",
    "merge_ledgers",
    "parse_bytes",
    "plan",
    "read_kernel",
    "read_ledger",
    "restore_files",
    "without_others",
]
