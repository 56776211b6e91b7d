"""Law 18: `import linnet` needs torch and small packages only, no GPU, and touches nothing; imports point down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = [
    "transformers",
    "matplotlib",
    "pyarrow",
    "tensorboard",
    "tokenizers",
    "jinja2",
    "pandas",
    "datasets",
    "fastapi",
    "optuna",
]


def loaded_by(code: str) -> list[str]:
    """Which heavy libraries a fresh interpreter has loaded after this code; torch's global state must be as it was."""
    program = f"""
import sys, torch
before = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
{code}
after = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
assert torch.equal(after[0], before[0]) and after[1:] == before[1:], "global state moved"
assert not torch.cuda.is_initialized(), "a GPU was touched"
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_18_import_is_light() -> None:
    modules = ["zoo", "model", "objective.next_token", "train.optimizers", "interop.huggingface", "generate.decode"]
    assert loaded_by(f"import linnet, {', '.join(f'linnet.{module}' for module in modules)}") == []


def test_18_the_law_kills_a_heavy_import_and_a_moved_seed() -> None:
    pytest.importorskip("jinja2")
    assert loaded_by("import linnet, jinja2") == ["jinja2"]
    with pytest.raises(AssertionError, match="global state moved"):
        loaded_by("torch.rand(1)")


def test_18_imports_point_down() -> None:
    tool = shutil.which("lint-imports", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if tool is None:
        pytest.skip("import-linter is not installed")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run([tool, "--no-cache"], capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout
