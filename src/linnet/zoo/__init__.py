"""Named families, one a file. Importing this package registers them all."""

from linnet.zoo.bert import Bert
from linnet.zoo.bitnet import BitNet
from linnet.zoo.deepseek import Deepseek
from linnet.zoo.family import SIZES, Decoder, Family, Sentence, Size
from linnet.zoo.gpt2 import GPT2
from linnet.zoo.infini import InfiniLlama
from linnet.zoo.jamba import Jamba
from linnet.zoo.linnet import Linnet
from linnet.zoo.llama import Llama
from linnet.zoo.longformer import LongformerFamily
from linnet.zoo.mamba import MambaFamily
from linnet.zoo.marian import Marian
from linnet.zoo.memorizing import Memorizing
from linnet.zoo.mistral import Mistral
from linnet.zoo.mixtral import Mixtral
from linnet.zoo.product_key import ProductKeyMemory
from linnet.zoo.qwen3 import Qwen3
from linnet.zoo.titans import Titans
from linnet.zoo.transformer_xl import TransformerXL
from linnet.zoo.translate import Translate

__all__ = [
    "GPT2",
    "SIZES",
    "Bert",
    "BitNet",
    "Decoder",
    "Deepseek",
    "Family",
    "InfiniLlama",
    "Jamba",
    "Linnet",
    "Llama",
    "LongformerFamily",
    "MambaFamily",
    "Marian",
    "Memorizing",
    "Mistral",
    "Mixtral",
    "ProductKeyMemory",
    "Qwen3",
    "Sentence",
    "Size",
    "Titans",
    "TransformerXL",
    "Translate",
]
