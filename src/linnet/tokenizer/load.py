"""Reading a tokenizer from its `tokenizer.json`."""

from __future__ import annotations

from pathlib import Path

from linnet.core.errors import TokenizerError, explain
from linnet.tokenizer.tokenizer_json import read_tokenizer
from linnet.tokenizer.vocabulary import VocabularyTokenizer

FILE_NAME = "tokenizer.json"


def load_tokenizer(path: Path | str) -> VocabularyTokenizer:
    """The tokenizer in a `tokenizer.json`, or in the folder that holds one; strictly, see `read_tokenizer`.

    Raises TokenizerError where there is no such file, or one that does not say exactly which ids text has.
    """
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    try:
        content = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise TokenizerError(
            explain(f"{file} does not exist", need=f"a {FILE_NAME}", hint="the folder of a finished run")
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(
            explain(f"{file} cannot be read ({error})", need=f"a {FILE_NAME} in UTF-8", hint="an undamaged copy of it")
        ) from error
    return read_tokenizer(content, name=str(file))


def tokenizer_from_json(content: str) -> VocabularyTokenizer:
    """The tokenizer that `Tokenizer.to_json` wrote down."""
    return read_tokenizer(content, name=FILE_NAME)
