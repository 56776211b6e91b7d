"""Named families, one a file. Importing this package registers them all."""

from linnet.zoo.family import SIZES, Decoder, Family, Sentence, Size
from linnet.zoo.gpt2 import GPT2
from linnet.zoo.linnet import Linnet
from linnet.zoo.llama import Llama
from linnet.zoo.memorizing import Memorizing
from linnet.zoo.mistral import Mistral
from linnet.zoo.qwen3 import Qwen3

__all__ = ["GPT2", "SIZES", "Decoder", "Family", "Linnet", "Llama", "Memorizing", "Mistral", "Qwen3", "Sentence", "Size"]
