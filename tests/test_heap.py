"""The heap that a command keeps: measured in processes of their own."""

import subprocess
import sys

import pytest

# Four images of 8 MB at a time, ten times over; counted are pages that the system had to map.
COUNT = """
import resource
import contextlib, ctypes
from unfold._heap import kept_heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
def images():
    blocks = [libc.malloc(1 << 23) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 23)
    for block in blocks:
        libc.free(block)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        images()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
images()
before = faults()
with kept_heap():
    with kept_heap():
        images()
    within = faults()
print(before, within, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator alone")
def test_freed_memory_is_used_again_but_not_for_ever():
    command = [sys.executable, "-c", COUNT]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before, within, after = map(int, found.split())
    pages = 10 * 4 * (1 << 23) // 4096
    if before < pages / 2:
        pytest.skip("this allocator keeps what is freed anyway")
    assert within < pages / 100
    assert after > pages / 2
