"""The Rust library: a few functions behind a C interface (`native/include/linnet.h`), opened on first use.

A build with cargo puts it into `linnet._native`. Without it everything works in Python and PyTorch: whoever calls one of
its functions asks `native_available()` first and has a slower way.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from pathlib import Path
from typing import Any

INTERFACE = 13  # of native/include/linnet.h; a library that was built from another one is not used


# of Python, in the order of linnet_python in native/include/linnet.h
CALLED = ("PyList_New", "PyList_SetItem", "Py_IncRef", "Py_DecRef", "PyList_GetItem", "PyBytes_AsStringAndSize")


@cache
def opened() -> tuple[Any, Any, str]:
    """(ffi, lib, "") of the native library, or (None, None, why there is none)."""
    try:
        module = importlib.import_module("linnet._native")
        found = module.lib.linnet_interface()
    except ImportError:
        return None, None, "it was not built: cargo was not there, older than 1.89, or failed, when linnet was installed"
    except (OSError, AttributeError) as error:
        return None, None, f"it cannot be opened ({error}); install linnet again"
    if found != INTERFACE:
        return None, None, f"it was built from another version (interface {found}, not {INTERFACE}); install linnet again"
    return module.ffi, module.lib, ""


def native_available() -> bool:
    """Whether the Rust functions are there and will be used."""
    return not native_problem()


def native_problem() -> str:
    """Why the Rust functions are not there; empty where they are."""
    return opened()[2]


def native_version() -> str | None:
    """The version of the native library; None where there is none."""
    ffi, lib, problem = opened()
    return None if problem else ffi.string(lib.linnet_version()).decode("ascii")


@cache
def python_functions() -> tuple[Any, Any, Any] | None:
    """(`linnet_python_list`, `linnet_python_texts`, Python's functions that these call); None where there is no library, or another
    Python than CPython.

    They are called through ctypes, which keeps Python's lock for them; a call through cffi gives the lock up.
    """
    if native_problem() or not hasattr(ctypes, "pythonapi"):
        return None
    (path,) = Path(importlib.import_module("linnet._native").__file__ or "").parent.glob("lib_native.*")
    lib, place, number = ctypes.PyDLL(str(path)), ctypes.c_void_p, ctypes.c_uint64
    as_list, texts = lib.linnet_python_list, lib.linnet_python_texts
    as_list.restype, as_list.argtypes = ctypes.py_object, [place, number, place, number, place]
    texts.restype, texts.argtypes = ctypes.c_int64, [ctypes.py_object, number, place, place, place]
    named = [getattr(ctypes.pythonapi, name) for name in CALLED]
    return as_list, texts, (place * len(named))(*(ctypes.cast(each, place).value for each in named))


def pointer(kind: str, array: Any) -> Any:
    """The numbers of an array, as native functions take them: kind uint64_t and the like. Of an empty one, room for one."""
    ffi, _, _ = opened()
    return ffi.from_buffer(f"{kind}[]", array) if len(array) else ffi.new(f"{kind}[1]")


def checked(result: int, name: str) -> int:
    """The result of a native function, unless it is an error code."""
    if result < 0:
        raise RuntimeError(f"the native library failed in {name} (code {result})")
    return result


def made(handle: Any, name: str) -> Any:
    """A handle that a native function made, unless it is NULL."""
    if handle == opened()[0].NULL:
        raise RuntimeError(f"the native library refused its arguments in {name}")
    return handle
