"""The errors that users see.

Every message says three things: what was got, what is needed, what to try. `explain` puts them in that order, so
that no caller has to remember it. `assert` is for linnet's own invariants and never for a user's input.
"""

from __future__ import annotations

from collections.abc import Iterable


class LinnetError(ValueError):
    """Something that the person at the keyboard can mend. The command line prints it without a traceback."""


class ConfigError(LinnetError):
    """A spec or a run file that does not mean anything, with all problems listed at once."""


class DataError(LinnetError):
    """Text that cannot be read or used; names the file and, where there is one, the line."""


class TokenizerError(LinnetError):
    """A tokenizer that is broken, or is not the one that the model was trained with."""


class CheckpointError(LinnetError):
    """A run folder or checkpoint that is missing, truncated, changed, or of another model."""


class BudgetError(LinnetError):
    """A budget of time, memory or disk that nothing useful fits into."""


class DivergedError(LinnetError):
    """A run whose loss is no finite number any more."""


class MissingExtraError(LinnetError):
    """An optional library is needed and not installed."""


def explain(got: str, *, need: str = "", hint: str = "") -> str:
    """One message in linnet's order: what was got; what is needed; what to try.

    >>> explain("d_model = 30", need="a multiple of n_heads = 4", hint="32")
    'd_model = 30; needed: a multiple of n_heads = 4; try: 32'
    """
    already = hint.startswith(("did you mean", "known:"))  # a hint of names.nearest says itself what it is
    return "; ".join([got, *([f"needed: {need}"] if need else []), *([hint if already else f"try: {hint}"] if hint else [])])


def listing(problems: Iterable[str], heading: str) -> str:
    """All problems at once, one a line, under a heading that counts them."""
    lines = list(problems)
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"{heading}: {count}", *(f"  - {line}" for line in lines)])
