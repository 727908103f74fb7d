"""A model on real files."""

from .files import Outcome, plan, restore_file, restore_files
from .kernel_file import read_kernel

__all__ = ["Outcome", "plan", "read_kernel", "restore_file", "restore_files"]
