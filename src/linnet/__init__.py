"""linnet: from a folder of text to a small language model that its owner understands."""

__version__ = "0.1.0"
