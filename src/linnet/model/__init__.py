"""The grammar and the one model class. Importing this package registers every word."""

from linnet.model.channel.mlp import GLU, MLP
from linnet.model.linear import Dense
from linnet.model.mixer.attention import Attention
from linnet.model.mixer.convolution import Convolution
from linnet.model.mixer.knn import KNN
from linnet.model.network import Network, Output
from linnet.model.norm import LayerNorm, RMSNorm
from linnet.model.position import Alibi, Learned, Rope, Sinusoidal
from linnet.model.spec import Block, Head, Init, Model, Repeat, Stack, Sublayer
from linnet.model.state import State, Tail

__all__ = [
    "GLU", "KNN", "MLP", "Alibi", "Attention", "Block", "Convolution", "Dense", "Head", "Init", "LayerNorm", "Learned", "Model", "Network",
    "Output", "RMSNorm", "Repeat", "Rope", "Sinusoidal", "Stack", "State", "Sublayer", "Tail",
]  # fmt: skip
