"""Text to ids and back: byte-level BPE, bytes, characters; `tokenizer.json` in and out."""

from linnet.tokenizer.base import END_OF_TEXT, Tokenizer
from linnet.tokenizer.load import load_tokenizer
from linnet.tokenizer.spec import BPE, Byte, Char, TokenizerFile, TokenizerSpec, train_tokenizer
from linnet.tokenizer.stream import StreamDecoder

__all__ = [
    "BPE",
    "END_OF_TEXT",
    "Byte",
    "Char",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerFile",
    "TokenizerSpec",
    "load_tokenizer",
    "train_tokenizer",
]
