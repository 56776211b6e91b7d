"""What is asked of the machine's allocator is what it does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from linnet.train.machine import keep_freed_memory

SCRIPT = """
import torch
from linnet.train.machine import keep_freed_memory, memory_bytes

others = []
for keep in (False, True, False):
    keep_freed_memory(keep)
    others.append(torch.ones(24 * 2**20))  # takes the place that was kept, where there is one
    block = torch.ones(24 * 2**20)
    held = memory_bytes()
    del block
    print(held - memory_bytes() > 48 * 2**20)
"""


@pytest.mark.skipif(not keep_freed_memory(False), reason="no glibc")
def test_freed_memory_is_kept_for_the_next_step_until_there_is_none() -> None:
    # in a process of its own: the heap of one that has run for long has room for the block, wherever it is asked from
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout.split()
    assert told == ["True", "False", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is read where Linux has it")
def test_the_peak_is_this_process_own() -> None:
    """A program that is started does not begin with the peak of the one that started it."""
    code = """
import subprocess, sys
from linnet.train.machine import peak_memory_bytes
ours = peak_memory_bytes()
if len(sys.argv) == 1:
    held = bytearray(400 << 20)
    held[::4096] = bytes(len(held[::4096]))
    assert peak_memory_bytes() > ours + (300 << 20)
    child = subprocess.run([sys.executable, *sys.orig_argv[1:], "child"], capture_output=True, text=True, check=True).stdout
    assert int(child) < len(held), child
else:
    print(ours)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
