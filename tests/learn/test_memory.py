"""The memory that training keeps from step to step."""

from __future__ import annotations

import subprocess
import sys

import pytest

KEPT = """
import resource, sys
import torch
from certero.learn.memory import kept_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def faults_of(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults_of(1)
start = resident()
usual = faults_of(4)
with kept_memory():
    faults_of(12)  # rests of aligned blocks keep the first few apart
    kept, held = faults_of(4), resident() - start
print(usual, kept, held, resident() - start, faults_of(4))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the GNU C library of Linux keeps freed memory")
def test_memory_is_kept_while_training_and_given_back_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    usual, kept, held, left, after = map(int, done.stdout.split())
    if usual < 10_000:
        pytest.skip(f"this system's C library keeps freed memory anyway: {usual} page faults")
    assert kept < usual / 4
    assert held >= 40_000_000
    assert left < 5_000_000
    # The first block is got anew, since it was given back; a later one may find the place of the one before it.
    assert after > usual / 5
