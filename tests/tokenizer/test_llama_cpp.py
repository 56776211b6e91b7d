"""The test strings of llama.cpp, and the ids that it recorded for them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_vocabulary import entries

from linnet.tokenizer import Tokenizer
from linnet.tokenizer.ranks import load_gpt2, load_tiktoken
from linnet.tokenizer.sentencepiece import load_sentencepiece
from linnet.tokenizer.wordpiece import WordPieceTokenizer

Real = Callable[[str], Path]
FOLDER = "tokenizers/llama_cpp/ggml-vocab"


def bert(real: Real) -> Tokenizer:
    """BERT's tokens; llama.cpp writes ▁ in front of what begins a word in place of ## before what does not."""
    found = entries(gzip.decompress(real(f"{FOLDER}-bert-bge.gguf.gz").read_bytes()))
    names = [
        name if name.startswith("[") and name.endswith("]") and len(name) > 2 else name[1:] if name[:1] == "▁" else f"##{name}"
        for name in found["tokenizer.ggml.tokens"]
    ]
    return WordPieceTokenizer({name: i for i, name in enumerate(names)}, lowercase=True)


TOKENIZERS: dict[str, Callable[[Real], Tokenizer]] = {
    "gpt-2": lambda real: load_gpt2(real("tokenizers/gpt2/encoder.json").parent),
    "llama-bpe": lambda real: load_tiktoken(real("tokenizers/llama3/tokenizer.model.gz"), pattern="gpt4"),
    "qwen2": lambda real: load_tiktoken(real("tokenizers/qwen/qwen.tiktoken.gz"), pattern="qwen"),
    "llama-spm": lambda real: load_sentencepiece(real("tokenizers/llama2/tokenizer.model")),
    "bert-bge": bert,
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_recorded_ids(name: str, real: Real) -> None:
    texts = real(f"{FOLDER}-{name}.gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    ids = [list(map(int, line.split())) for line in real(f"{FOLDER}-{name}.gguf.out").read_text("utf-8").splitlines()]
    assert len(texts) >= len(ids) == 46
    tokenizer = TOKENIZERS[name](real)
    for text, right in zip(texts, ids, strict=False):
        assert tokenizer.encode(text) == right, repr(text)
