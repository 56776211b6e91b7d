"""What this machine is and can do: its peak rate measured, its memory read, never assumed."""

from __future__ import annotations

import ctypes
import os
import platform
import time

import psutil
import torch

from linnet.core.errors import ConfigError, explain


def pick_device(wanted: str = "auto") -> torch.device:
    """The device for a name; auto: a GPU where there is one. Raises ConfigError for one that is not there."""
    if wanted != "auto":
        try:
            device = torch.device(wanted)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            problem = str(error).splitlines()[0][:120]
            raise ConfigError(
                explain(f"device {wanted!r} ({problem})", need="a device of this machine", hint="auto, or cpu")
            ) from error
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def measure_peak(device: torch.device, dtype: torch.dtype = torch.float32, seconds: float = 0.25) -> float:
    """FLOP/s of a large matrix product, the ceiling that utilisation is a share of; the best of what fits in `seconds`."""
    n = 1024 if device.type == "cpu" else 8192
    a = torch.randn(n, n, device=device, dtype=dtype)
    b = torch.randn(n, n, device=device, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    rounds = 0
    while rounds < 4 or time.perf_counter() < end:
        started = time.perf_counter()
        torch.nn.functional.linear(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
        rounds += 1
    return 2 * n**3 / best


def keep_freed_memory(keep: bool = True) -> bool:
    """Ask glibc to keep what a training step frees for the next one; False where there is no glibc.

    It gives larger blocks back to the system, and the next step pays for every page again: 98,000 page faults a step,
    7 % of its time, for 10 M parameters and 4,096 tokens on a CPU (2 with this). The process then holds its peak.

    With `keep` false: no longer. What was kept is used as before, and a large block that finds no place in it is borrowed
    from the system and given back, where it would have made the heap grow for good.
    """
    if platform.system() != "Linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    size = 1 << 30 if keep else 128 << 10  # glibc's own
    return bool(mallopt(trim_threshold, size)) and bool(mallopt(mmap_threshold, size))


def memory_bytes() -> int:
    """Resident memory of this process now."""
    return psutil.Process().memory_info().rss


def peak_memory_bytes() -> int:
    """The most memory this process ever held, where the system tells; else what it holds now.

    Linux is asked for its high-water mark: the `ru_maxrss` of a program begins with the one of whoever started it.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024
    except ImportError:
        info = psutil.Process().memory_info()
        return getattr(info, "peak_wset", info.rss)


def available_memory() -> int:
    """Memory that could be had without swapping."""
    return psutil.virtual_memory().available


def describe_machine(device: torch.device) -> dict[str, str]:
    """A few lines for reports."""
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": str(device),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
    }
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
