"""Reading a tokenizer: from its `tokenizer.json`, or from the files of another program."""

from __future__ import annotations

from pathlib import Path

from linnet.core.errors import TokenizerError, explain
from linnet.core.files import sha256_file
from linnet.tokenizer.pretokenize import PATTERNS, unknown_pattern
from linnet.tokenizer.ranks import GPT2_FILES, GPT2_MERGES, PUBLISHED, load_gpt2, load_tiktoken
from linnet.tokenizer.sentencepiece import load_sentencepiece, looks_like_sentencepiece
from linnet.tokenizer.tokenizer_json import read_tokenizer
from linnet.tokenizer.vocabulary import TableTokenizer
from linnet.tokenizer.wordpiece import load_wordpiece

FILE_NAME = "tokenizer.json"


def load_tokenizer(path: Path | str, *, pattern: str | None = None) -> TableTokenizer:
    """The tokenizer in a file, or in the folder that holds one.

    tokenizer.json                      strictly, see `read_tokenizer`
    encoder.json and vocab.bpe          GPT-2's, in a folder
    *.model                             SentencePiece's, BPE or unigram
    *.tiktoken, *.model, also .gz       tiktoken's ranks; `pattern` says how text is split, where the name does not tell
    vocab.txt                           WordPiece's, of BERT

    Raises TokenizerError where there is no such file, or one that does not say exactly which ids text has, and for a pattern
    that is not known.
    """
    if pattern is not None and pattern not in PATTERNS:
        raise unknown_pattern(pattern)
    path = Path(path)
    if path.is_dir() and not (path / FILE_NAME).exists() and any((path / name).exists() for name in GPT2_FILES):
        return load_gpt2(path)
    file = found_in(path) if path.is_dir() else path
    if file.name == "vocab.txt" and file.exists():
        return load_wordpiece(file)
    if file.suffix == ".model" and file.exists() and looks_like_sentencepiece(file):
        return load_sentencepiece(file)
    plain = file.with_suffix("") if file.suffix == ".gz" else file
    if plain.suffix in (".tiktoken", ".model") and file.exists():
        published = PUBLISHED.get(plain.stem)
        pattern = pattern or (published.pattern if published is not None else None)
        if pattern is None:
            hint = "--pattern gpt4, which is Llama 3's (in a run file, tokenizer.pattern)"
            raise TokenizerError(explain(f"{file} says no splitting pattern", need=f"one of {', '.join(PATTERNS)}", hint=hint))
        return load_tiktoken(file, pattern=pattern, published=published)
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


def content_of(path: Path | str) -> str | None:
    """A text that stands for the tokenizer that `load_tokenizer` would find there, without opening it: its files' names and SHA-256;
    None where there are no files that can be read twice (a pipe, or nothing at all)."""
    path = Path(path)
    files = (
        [path / name for name in (FILE_NAME, "tokenizer.model", "vocab.txt", *GPT2_FILES, *GPT2_MERGES)]
        if path.is_dir()
        else [path]
    )
    files = [file for file in files if file.is_file()]
    if not files:
        return None
    try:
        return " ".join(f"{file.name} {sha256_file(file)}" for file in files)
    except OSError as error:
        raise TokenizerError(explain(f"{path} cannot be read ({error.strerror})", need="a readable file")) from error


def found_in(folder: Path) -> Path:
    """The file of a folder that its tokenizer is in."""
    for name in (FILE_NAME, "tokenizer.model", "vocab.txt"):
        if (folder / name).is_file():
            return folder / name
    return folder / FILE_NAME


def tokenizer_from_json(content: str) -> TableTokenizer:
    """The tokenizer that `Tokenizer.to_json` wrote down."""
    return read_tokenizer(content, name=FILE_NAME)
