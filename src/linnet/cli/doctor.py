"""linnet doctor: what this installation and this machine can do, and what is slower or missing for what reason."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

EXTRAS = {
    "matplotlib": ("report", "draws report.html"),
    "jinja2": ("report", "lays out report.html"),
    "tensorboard": ("tensorboard", "TensorBoard logs"),
    "pyarrow": ("data", "reads parquet"),
    "zstandard": ("data", "reads .zst"),
    "transformers": ("transformers", "checks what linnet export writes"),
}


def doctor() -> None:
    """Check this installation and this machine.

    Python, torch, the native part, optional libraries, speed, memory, disk.
    """
    import shutil

    import torch

    from linnet.core.extras import has
    from linnet.core.native import native_available, native_problem, native_version
    from linnet.core.version import __version__
    from linnet.ops.kernels import kernels_available, vectors_in_use
    from linnet.train.machine import available_memory, describe_machine, measure_peak, pick_device

    console = Console()
    table = Table("", "what", "", box=None, show_header=False, pad_edge=False)

    def line(good: bool | None, what: str, text: str) -> None:
        table.add_row({True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}[good], what, Text(text))

    device = pick_device()
    facts = describe_machine(device)
    line(True, "linnet", f"{__version__} on Python {facts['python']}, {facts['system']}")
    line(True, "torch", f"{facts['torch']}, {facts['threads']} threads on {facts['cores']} cores")
    if native_available():
        line(True, "native part", f"{native_version()}: tokenizers are trained and applied in Rust")
    else:
        line(
            None,
            "native part",
            f"missing ({native_problem()}): training a BPE tokenizer takes some ten times longer, a step on a CPU up to half as long again",
        )
    for module, (extra, use) in EXTRAS.items():
        line(True if has(module) else None, module, use if has(module) else f'{use}: pip install ".[{extra}]" in a checkout')
    if device.type == "cpu":
        line(
            True if kernels_available() else None,
            "CPU kernels",
            f"attention, GELU, AdamW and products of few rows in Rust, with {vectors_in_use()}"
            if kernels_available()
            else "PyTorch's own: ours need the native part, GNU OpenMP (Linux) and AVX2",
        )
        line(None, "GPU", "none: float32 on the CPU, which is the CPU's training type")
    else:
        line(True, "GPU", f"{facts['gpu']}, bfloat16 {'yes' if torch.cuda.is_bf16_supported() else 'no'}")
    with console.status("measuring"):
        peak = measure_peak(device)
    line(
        True,
        "speed",
        f"{peak / 1e9:,.0f} GFLOP/s in float32: about {0.5 * peak / (6 * 0.8e6):,.0f} tokens/s of training for a model of 0.8 M parameters",
    )
    free = available_memory() / 2**30
    line(free > 1, "memory", f"{free:.1f} GiB free: enough to train about {free * 2**30 / 2 / 16 / 1e6:,.0f} M parameters")
    room = shutil.disk_usage(".").free / 2**30
    line(room > 1, "disk", f"{room:.1f} GiB free here")
    console.print(table)
    if room <= 0.1 or free <= 0.2:
        raise typer.Exit(1)
