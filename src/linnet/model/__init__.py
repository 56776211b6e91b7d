"""The grammar and the one model class. Importing this package registers every word."""

from linnet.model.channel.mlp import GLU, MLP
from linnet.model.channel.moe import MoE
from linnet.model.channel.product_key import ProductKey
from linnet.model.linear import Dense, Ternary
from linnet.model.mixer.attention import Attention
from linnet.model.mixer.convolution import Convolution
from linnet.model.mixer.cross import Cross
from linnet.model.mixer.gated import Gated
from linnet.model.mixer.infini import Infini
from linnet.model.mixer.knn import KNN
from linnet.model.mixer.latent import LatentAttention
from linnet.model.mixer.longformer import Longformer
from linnet.model.mixer.mamba import Mamba
from linnet.model.mixer.memory_context import MemoryContext
from linnet.model.mixer.neural_memory import NeuralMemory
from linnet.model.mixer.xl import XL
from linnet.model.network import Network, Output
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Alibi, Learned, Rope, Sinusoidal
from linnet.model.rope_scaling import LinearScaling, Llama3Scaling, NTKScaling, YarnScaling
from linnet.model.spec import Block, Encoder, Head, Init, Model, Repeat, Stack, Sublayer
from linnet.model.state import Source, State, Tail

__all__ = [
    "GLU",
    "KNN",
    "MLP",
    "XL",
    "Alibi",
    "Attention",
    "Block",
    "Convolution",
    "Cross",
    "Dense",
    "Encoder",
    "Gated",
    "Head",
    "Infini",
    "Init",
    "LatentAttention",
    "LayerNorm",
    "Learned",
    "LinearScaling",
    "Llama3Scaling",
    "Longformer",
    "Mamba",
    "MemoryContext",
    "MoE",
    "Model",
    "NTKScaling",
    "Network",
    "NeuralMemory",
    "Output",
    "ProductKey",
    "RMSNorm",
    "Repeat",
    "Rope",
    "Sinusoidal",
    "Source",
    "Stack",
    "State",
    "Sublayer",
    "Tail",
    "Ternary",
    "YarnScaling",
]
