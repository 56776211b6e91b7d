"""linnet's build backend (PEP 517, PEP 660): with the native library where cargo is there, pure Python otherwise.

    cargo works      maturin compiles native/ and packs it with src/linnet
    it does not      flit_core packs src/linnet alone; linnet then runs its tokenizer in Python
    source archives  always flit_core: the same files everywhere

`--config-settings native=require` turns a missing or failing cargo into an error; `native=skip` does not look for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flit_core import buildapi as pure

HEADER = Path("native/include/linnet.h")
BUILT = Path("src/linnet/_native")  # where an editable build puts the library
CHOICES = ("auto", "require", "skip")

Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """maturin and cffi are needed for the native library only. flit_core is there always."""
    return ["maturin>=1.9,<2", "cffi>=1.17"] if wants_native(config_settings) else []


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """The metadata of either wheel, which are the same."""
    return pure.prepare_metadata_for_build_wheel(metadata_directory)


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    return pure.build_sdist(sdist_directory)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    return build("build_wheel", wheel_directory, config_settings)


def build_editable(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    return build("build_editable", wheel_directory, config_settings)


def build(hook: str, wheel_directory: str, settings: Settings) -> str:
    """Run a hook of maturin's, or of flit_core's where the native library cannot be had and is not required."""
    if wants_native(settings):
        try:
            import maturin

            place_header()
            wheel: str = getattr(maturin, hook)(wheel_directory)
        except (Exception, SystemExit) as error:  # maturin leaves through sys.exit where cargo fails
            if choice(settings) == "require":
                raise
            say(f"the native library could not be built ({error!r}); building pure Python instead")
        else:
            say(f"built with the native library: {wheel}")
            return wheel
    else:
        why = "native=skip" if choice(settings) == "skip" else cargo_problem()
        say(f"building pure Python, because {why}; linnet works, with a slower tokenizer")
    if hook == "build_editable":
        return pure.build_editable(wheel_directory)
    with set_aside(BUILT):
        return pure.build_wheel(wheel_directory)


def place_header() -> None:
    """Put the header where maturin looks for one before it generates its own: the root of cargo's target folder."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", "native/target"))
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HEADER, target / "header.h")


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Keep a folder out of a pure wheel: what an earlier editable build left there is of this machine only."""
    aside = Path(f"{folder.name}.aside")
    if folder.exists():
        folder.rename(aside)
    try:
        yield
    finally:
        if aside.exists():
            aside.rename(folder)


def wants_native(settings: Settings) -> bool:
    """Whether to build the native library. Fails where it is required and cargo is not there."""
    if choice(settings) == "skip":
        return False
    problem = cargo_problem()
    if problem and choice(settings) == "require":
        sys.exit(f"linnet: native=require, and {problem}; install Rust, or leave the setting out")
    return not problem


def choice(settings: Settings) -> str:
    """The setting `native`."""
    native = str((settings or {}).get("native", "auto"))
    if native not in CHOICES:
        sys.exit(f"linnet: native={native} is not known; needed: one of {', '.join(CHOICES)}")
    return native


def cargo_problem() -> str:
    """Why cargo cannot be used; empty where it can. A shim without a toolchain behind it is found out by asking."""
    for tool in ("cargo", "rustc"):
        if shutil.which(tool) is None:
            return f"there is no {tool} on the PATH"
        answer = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            return f"{tool} does not work ({answer.stderr.strip()})"
    return ""


def say(line: str) -> None:
    """One line for whoever installs (pip shows it with -v, and always where the build fails)."""
    print(f"linnet: {line}", file=sys.stderr, flush=True)
