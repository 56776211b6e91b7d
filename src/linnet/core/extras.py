"""Optional libraries: each is imported in one place, through `need`, with one helpful error.

`import linnet` wants torch and small packages only. Anything heavier belongs to an extra of `pyproject.toml`.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from linnet.core.errors import MissingExtraError, explain


def need(module: str, *, extra: str, to: str) -> ModuleType:
    """Import `module`, or raise an error that says which extra brings it and what it is wanted for.

    `to` completes the sentence "… is needed to …".
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            explain(
                f"the library {module.split('.')[0]!r} is not installed ({error})",
                need=f"it, to {to}",
                hint=f'pip install -c constraints.txt "linnet[{extra}]", or ".[{extra}]" in a checkout',
            )
        ) from error


def has(module: str) -> bool:
    """Whether an optional library can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a part of a library that is not there
        return False
