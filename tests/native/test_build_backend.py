"""The build backend chooses between maturin and flit_core, and says so."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def backend() -> ModuleType:
    pytest.importorskip("flit_core")
    spec = importlib.util.spec_from_file_location("linnet_build", REPOSITORY / "native" / "backend" / "linnet_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the PATH a folder of tools that answer with the given exit status."""

    def only(**statuses: int) -> None:
        for tool, status in statuses.items():
            (tmp_path / tool).write_text(f"#!/bin/sh\necho {tool} speaks >&2\nexit {status}\n")
            (tmp_path / tool).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return only


def test_without_cargo_nothing_more_is_needed(backend: ModuleType, path: Callable[..., None]) -> None:
    path()
    assert backend.cargo_problem() == "there is no cargo on the PATH"
    assert backend.get_requires_for_build_wheel() == []


def test_a_cargo_that_does_not_work_is_none(backend: ModuleType, path: Callable[..., None]) -> None:
    path(cargo=1, rustc=0)
    assert backend.cargo_problem() == "cargo does not work (cargo speaks)"


def test_with_cargo_maturin_is_needed(backend: ModuleType, path: Callable[..., None]) -> None:
    path(cargo=0, rustc=0)
    assert any(need.startswith("maturin") for need in backend.get_requires_for_build_editable())
    assert backend.get_requires_for_build_wheel({"native": "skip"}) == []
    assert backend.get_requires_for_build_sdist() == []


def test_what_is_required_and_missing_is_an_error(backend: ModuleType, path: Callable[..., None]) -> None:
    path()
    with pytest.raises(SystemExit, match="no cargo on the PATH"):
        backend.get_requires_for_build_wheel({"native": "require"})
    with pytest.raises(SystemExit, match="native=yes is not known"):
        backend.get_requires_for_build_wheel({"native": "yes"})


@pytest.mark.parametrize("cargo", [0, 1])
def test_a_build_without_the_library(
    backend: ModuleType, path: Callable[..., None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, cargo: int
) -> None:
    """Without cargo, and with one whose build fails: a pure wheel, and one line that says it."""
    path(cargo=cargo, rustc=cargo)
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(backend, "place_header", lambda: pytest.fail("unreachable") if cargo else None)
    monkeypatch.setitem(backend.sys.modules, "maturin", ModuleType("maturin"))  # has no build_wheel: the build fails
    monkeypatch.setattr(backend.pure, "build_wheel", lambda folder: f"{folder}/pure.whl")
    assert backend.build("build_wheel", "out", None) == "out/pure.whl"
    assert "pure Python" in capsys.readouterr().err


def test_what_an_editable_build_left_stays_out_of_a_pure_wheel(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built = tmp_path / "built"
    built.mkdir()
    with backend.set_aside(built):
        assert not built.exists()
    assert built.exists()


def test_the_header_is_put_where_maturin_looks(backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path / "target"))
    backend.place_header()
    assert (tmp_path / "target" / "header.h").read_bytes() == (REPOSITORY / "native" / "include" / "linnet.h").read_bytes()
