"""Vocabularies of other programs, read and written: tiktoken's ranks, and GPT-2's two files.

    tiktoken   a line a token: its bytes in base64, a space, its rank, which is its id
    GPT-2      encoder.json (token → id, spelled as in tokenizer.json) and vocab.bpe (a merge a line)

tiktoken has no merges: any two neighbours whose bytes are a token's may become it, the lowest rank first. But of all the ways
to cut a token in two, only one ever happens: the one that is there when its bytes stand alone, because whatever stands beside
them has no part in it. `merges_of_ranks` finds it for each token, and then it is byte-pair encoding with merges as ever.

Neither format says everything. Writing refuses a tokenizer whose ids would not be the same when its files are read.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from linnet.core.errors import TokenizerError, explain, listing
from linnet.core.files import atomic_folder, write_bytes
from linnet.core.native import native_available
from linnet.tokenizer import native
from linnet.tokenizer.base import END_OF_TEXT, Tokenizer
from linnet.tokenizer.bpe import Pair
from linnet.tokenizer.bpe_tokenizer import BPETokenizer
from linnet.tokenizer.spelling import spell, unspell
from linnet.tokenizer.strict_json import SHOWN, capped

GPT2_FILES = ("encoder.json", "vocab.json")  # its vocabulary, under either name
GPT2_MERGES = ("vocab.bpe", "merges.txt")


class Published(NamedTuple):
    """What is known of a file of ranks by its name: how text is split, how many there are, and the special tokens that its makers
    give it beside."""

    pattern: str
    ranks: int | None = None
    special: dict[str, int] | None = None


FIM = {"<|fim_prefix|>": 100_258, "<|fim_middle|>": 100_259, "<|fim_suffix|>": 100_260}
PUBLISHED = {  # as in tiktoken's openai_public.py
    "r50k_base": Published("gpt2", 50_256, {END_OF_TEXT: 50_256}),
    "cl100k_base": Published("cl100k", 100_256, {END_OF_TEXT: 100_257, **FIM, "<|endofprompt|>": 100_276}),
    "o200k_base": Published("o200k", 199_998, {END_OF_TEXT: 199_999, "<|endofprompt|>": 200_018}),
    "qwen": Published("qwen"),
}

# ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_tiktoken(
    path: Path | str, *, pattern: str, special: Mapping[str, int] | None = None, published: Published | None = None
) -> BPETokenizer:
    """The tokenizer of a file of ranks, plain or .gz, as tiktoken reads it.

    pattern     how text is split, by its name: the file does not say it
    special     name → id; None: <|endoftext|> after the last rank. Ids between that nothing has become <|reserved_N|>
    published   which file it should be

    Raises TokenizerError with the line of what cannot be read, for a rank that is missing or there twice, and for a byte without one.
    """
    path = Path(path)
    ranks: dict[bytes, int] = {}
    problems = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            spelled, rank = line.split()
            token = base64.b64decode(spelled, validate=True)
            if not token or token in ranks:
                raise ValueError("the token stands there already" if token else "a token of no bytes")
            ranks[token] = int(rank)
        except (ValueError, binascii.Error) as error:
            problems.append(f"line {number}: {line[:60].decode('utf-8', 'replace')!r} ({error})")
    missing = sorted(set(range(len(ranks))) - set(ranks.values()))
    if missing and not problems:
        problems.append(
            f"{len(ranks)} tokens need the ranks 0 to {len(ranks) - 1}; missing: {', '.join(map(str, missing[:SHOWN]))}"
        )
    lacking = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if lacking and not problems:
        problems.append(f"no rank for the bytes {', '.join(map(str, lacking[:SHOWN]))}{' …' if len(lacking) > SHOWN else ''}")
    if published is not None and published.ranks not in (None, len(ranks)) and not problems:
        problems.append(
            f"{len(ranks):,} ranks where the file of that name has {published.ranks:,}: it is cut, or has another's name"
        )
    if problems:
        raise refusal(path, problems, "a file of ranks: a token in base64 and its rank on every line")
    return of_ranks(ranks, pattern=pattern, special=special or (published.special if published is not None else None))


def of_ranks(ranks: Mapping[bytes, int], *, pattern: str, special: Mapping[str, int] | None = None) -> BPETokenizer:
    """The tokenizer of ranks 0 … n - 1. Arguments and errors are those of `load_tiktoken`."""
    names = dict(special) if special is not None else {END_OF_TEXT: len(ranks)}
    taken = {*ranks.values(), *names.values()}
    names |= {f"<|reserved_{free}|>": free for free in range(max(taken) + 1) if free not in taken}
    merges = merges_of_ranks(ranks)
    made = {ranks_id for _, _, ranks_id in merges}
    whole = any(len(token) > 1 and rank not in made for token, rank in ranks.items())
    return BPETokenizer(ranks, [(a, b) for a, b, _ in merges], pattern=pattern, special=names, whole=whole)


def merges_of_ranks(ranks: Mapping[bytes, int]) -> list[tuple[int, int, int]]:
    """The merges that ever happen where the lowest rank of any two neighbours' bytes decides: a, b and what they make, by rank."""
    by_rank = sorted(ranks, key=ranks.__getitem__)
    if native_available() and len(ranks) <= native.MOST_IDS:
        return native.merges_of_ids(by_rank)
    splits: dict[Pair, tuple[int, int]] = {}
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            a, b = ranks.get(token[:cut]), ranks.get(token[cut:])
            if a is not None and b is not None:
                splits[a, b] = (rank, rank)
    found = []
    for rank, token in enumerate(by_rank):
        last = last_merge(token, rank, ranks, splits)
        if last is not None:
            found.append((*last, rank))
    return found


def last_merge(token: bytes, rank: int, ranks: Mapping[bytes, int], splits: Mapping[Pair, tuple[int, int]]) -> Pair | None:
    """The two tokens that become this one where its bytes stand alone; None where merging makes something else of them."""
    symbols = [ranks[bytes([byte])] for byte in token]
    while len(symbols) > 2:
        found = [(*splits[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in splits]
        if not found:
            return None
        _, made, i = min(found)
        symbols[i : i + 2] = [made]
    pair = (symbols[0], symbols[-1])
    return pair if len(symbols) == 2 and splits.get(pair, (None,))[0] == rank else None


def load_gpt2(folder: Path | str) -> BPETokenizer:
    """The tokenizer in a folder with GPT-2's `encoder.json` and `vocab.bpe`, under their other names `vocab.json` and `merges.txt`, too.

    Raises TokenizerError where one is missing, cannot be read, or names a token that the other does not have.
    """
    folder = Path(folder)
    vocabulary, merges_file = one_of(folder, *GPT2_FILES), one_of(folder, *GPT2_MERGES)
    try:
        table = json.loads(vocabulary.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(explain(f"{vocabulary} cannot be read ({error})", need="a table of tokens and ids")) from error
    tokens: dict[bytes, int] = {}
    spelled: dict[str, int] = {}  # the same, as the files spell them
    special: dict[str, int] = {}
    problems = []
    for spelling, token_id in table.items() if isinstance(table, dict) else ():
        token = unspell(spelling)
        if type(token_id) is not int:
            problems.append(f"{vocabulary.name}: the id of {spelling!r} is {token_id!r}")
        elif is_special_in_gpt2(spelling):
            special[spelling] = token_id
        elif not token:
            problems.append(f"{vocabulary.name}: the token {spelling!r} is not spelled in bytes")
        else:
            tokens[token] = spelled[spelling] = token_id
    lines = [line.decode("utf-8", "replace").rstrip("\r\n") for line in read_lines(merges_file)]
    if lines[0].startswith("#version"):
        lines[0] = ""
    pairs = [line.partition(" ")[::2] for line in lines if line]
    made = {a + b for a, b in pairs}
    merges = [(spelled.get(a, -1), spelled.get(b, -1)) for a, b in pairs]
    if not made <= spelled.keys() or any(-1 in pair for pair in merges):
        wrong = [number for number, line in enumerate(lines, 1) if line and not is_merge(line, spelled)]
        problems += [
            f"{merges_file.name}, line {number}: {lines[number - 1][:60]!r} is not a merge of two tokens into a third"
            for number in wrong
        ]
    orphans = [spelling for spelling in spelled if len(spelling) > 1 and spelling not in made]
    if orphans and not problems:
        problems.append(f"{merges_file.name}: no merge makes {len(orphans):,} tokens, such as {orphans[0]!r}: is it cut?")
    if problems or not tokens:
        raise refusal(folder, problems or [f"{vocabulary.name} holds no tokens"], "GPT-2's two files, undamaged")
    return BPETokenizer(tokens, merges, pattern="gpt2", special=special)


def is_merge(line: str, spelled: Mapping[str, int]) -> bool:
    """Whether a line joins two tokens into a third."""
    a, _, b = line.partition(" ")
    return a in spelled and b in spelled and a + b in spelled


def is_special_in_gpt2(spelling: str) -> bool:
    """Whether a token of `encoder.json` is a special one: the file marks them in no other way."""
    return spelling.startswith("<|") and spelling.endswith("|>")


def read_lines(path: Path) -> list[bytes]:
    """The lines of a file, unpacked where it is a .gz. Raises TokenizerError for one that is missing, cut or damaged."""
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).split(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise TokenizerError(
            explain(f"{path} cannot be read ({error})", need="a file of a vocabulary", hint="an undamaged copy of it")
        ) from error


def one_of(folder: Path, *names: str) -> Path:
    """The first of some files that is in a folder."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise TokenizerError(
        explain(f"{folder} has no {names[0]}", need=f"{' or '.join(names)}", hint="the folder with GPT-2's two files")
    )


def refusal(path: Path, problems: list[str], need: str) -> TokenizerError:
    """The error that lists the problems of a file."""
    return TokenizerError(
        listing(capped(problems), f"{path} is not what it should be") + f"\n  needed: {need}\n  try: an undamaged copy of it"
    )


# ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def save_tiktoken(tokenizer: Tokenizer, path: Path | str) -> None:
    """Write a byte-level BPE as a file of ranks, which tiktoken reads; atomically.

    The file has no place for the splitting pattern and for special tokens: whoever reads it is told them.

    Raises TokenizerError, with all problems, where the lowest rank of any two neighbours leads to other ids than the merges.
    """
    problems = beyond_ranks(tokenizer) if isinstance(tokenizer, BPETokenizer) else [no_bpe(tokenizer)]
    if problems or not isinstance(tokenizer, BPETokenizer):
        raise unsayable(path, problems, "byte-level BPE whose merges come in the order of the ids that they make")
    by_rank = sorted(tokenizer.tokens, key=tokenizer.tokens.__getitem__)
    write_bytes(Path(path), b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(by_rank)))


def beyond_ranks(tokenizer: BPETokenizer) -> list[str]:
    """What of a tokenizer a file of ranks cannot say; nothing: tiktoken gives every text the same ids."""
    tokens = tokenizer.tokens
    inside = [f"the special token {name!r} has the id {i}" for name, i in tokenizer.special.items() if i < len(tokens)]
    if inside:
        return [f"{each}, before the last of {len(tokens)} ordinary tokens" for each in inside]
    merges = list(dict.fromkeys(tokenizer.merges))
    made = [tokens[tokenizer.token_bytes(a) + tokenizer.token_bytes(b)] for a, b in merges]
    problems = [f"{b} is made by a later merge than {a}, and is the lower rank" for a, b in pairwise(made) if b < a]
    happening = merges_of_ranks(tokens)
    there = set(merges)
    problems += [f"no merge of {a} and {b} into {c}, which the ranks imply" for a, b, c in happening if (a, b) not in there]
    if not tokenizer.whole:
        reached = {token_id for _, _, token_id in happening}
        never = [i for token, i in tokens.items() if len(token) > 1 and i not in reached]
        problems += [f"merging never makes {i}, which tiktoken takes for a chunk of these bytes" for i in never]
    return problems


def save_gpt2(tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write a byte-level BPE as GPT-2's `encoder.json` and `vocab.bpe`, into a new folder; both or none.

    Raises TokenizerError, with all problems, for a tokenizer that would be another one when it is read, and for a folder that is there.
    """
    problems = beyond_gpt2(tokenizer) if isinstance(tokenizer, BPETokenizer) else [no_bpe(tokenizer)]
    if problems or not isinstance(tokenizer, BPETokenizer):
        raise unsayable(folder, problems, "byte-level BPE that is split as GPT-2's, with special tokens named <|…|>")
    folder = Path(folder)
    if folder.exists():
        raise TokenizerError(explain(f"{folder} exists already", need="a new folder", hint="another name"))
    spelling = {token_id: spell(token) for token, token_id in tokenizer.tokens.items()}
    table = spelling | {token_id: name for name, token_id in tokenizer.special.items()}
    lines = ["#version: 0.2", *(f"{spelling[a]} {spelling[b]}" for a, b in tokenizer.merges)]
    with atomic_folder(folder) as temporary:
        content = json.dumps({name: token_id for token_id, name in sorted(table.items())})
        (temporary / GPT2_FILES[0]).write_bytes(content.encode("ascii"))
        (temporary / GPT2_MERGES[0]).write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))


def beyond_gpt2(tokenizer: BPETokenizer) -> list[str]:
    """What of a tokenizer GPT-2's two files cannot say; nothing: read again, it is the same."""
    problems = []
    if tokenizer.pattern != "gpt2":
        problems.append(f"text is split by {tokenizer.pattern}: the files have no place for a pattern, and mean gpt2")
    if tokenizer.whole:
        problems.append("a chunk that is a token stays one, whatever the merges make of it: the files have merges alone")
    wrong = [name for name in tokenizer.special if not is_special_in_gpt2(name)]
    problems += [f"the special token {name!r} would be read as an ordinary one" for name in wrong]
    wrong = [spelled for spelled in map(spell, tokenizer.tokens) if is_special_in_gpt2(spelled)]
    return problems + [f"the ordinary token {spelled!r} would be read as a special one" for spelled in wrong]


def no_bpe(tokenizer: Tokenizer) -> str:
    return f"it is a {type(tokenizer).__name__}, whose ids no merges of bytes make"


def unsayable(path: Path | str, problems: list[str], need: str) -> TokenizerError:
    """The error for a tokenizer that a format has no words for."""
    heading = f"{path} cannot be written, this tokenizer is more than its format can say"
    hint = "a tokenizer.json, which says all of it"
    return TokenizerError(listing(capped(problems), heading) + f"\n  needed: {need}\n  try: {hint}")
