"""The heap that a command keeps: measured in processes of their own."""

import subprocess
import sys

import pytest

# Four images of 8 MB at a time, ten times over; counted are pages that the system had to map.
COUNT = """
import resource
from unfold._heap import keep_heap
if {keep}:
    keep_heap()
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def images():
    blocks = [libc.malloc(1 << 23) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 23)
    for block in blocks:
        libc.free(block)
images()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    images()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    command = [sys.executable, "-c", COUNT.format(keep=keep)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator alone")
def test_freed_memory_is_used_again():
    pages = 10 * 4 * (1 << 23) // 4096
    if faults(False) < pages / 2:
        pytest.skip("this allocator keeps what is freed anyway")
    assert faults(True) < pages / 100
