"""linnet: from a folder of text to a small language model that its owner understands.

    import linnet

    result = linnet.run("configs/shakespeare.yaml")            # train; the same as `linnet train` in a shell
    model = linnet.load("runs/shakespeare")                    # a LanguageModel: text in, text out
    print(model.generate("ROMEO:", max_tokens=200))

(The packages `linnet.train` and `linnet.generate` hold how it is done, so the verbs here are `run` and `load`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.core.errors import LinnetError
from linnet.core.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from linnet.language_model import LanguageModel
    from linnet.train.run import Result
    from linnet.train.spec import RunSpec

__all__ = ["LanguageModel", "LinnetError", "RunSpec", "__version__", "load", "run"]


def load(folder: str | Path, *, device: str = "cpu") -> LanguageModel:
    """A trained model from its run folder or model folder."""
    from linnet.language_model import LanguageModel

    return LanguageModel.load(folder, device=device)


def run(what: str | Path | RunSpec, out: str | Path | None = None, *, quiet: bool = False, **options: Any) -> Result:
    """Train what a run file, a text, a folder of texts or a RunSpec describes; options as for `linnet train`.

    minutes=…, steps=…, resume=True, set=["optimizer.learning_rate=0.01"]
    """
    from linnet.command import run as run_

    return run_(what, out, quiet=quiet, **options)


def __getattr__(name: str) -> Any:
    if name == "LanguageModel":
        from linnet.language_model import LanguageModel

        return LanguageModel
    if name == "RunSpec":
        from linnet.train.spec import RunSpec

        return RunSpec
    raise AttributeError(f"module 'linnet' has no attribute {name!r}")
