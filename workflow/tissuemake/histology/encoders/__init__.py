"""Tile encoders by name: what they are (registry), how they are loaded, and the file of one vector per tile."""

from tissuemake.histology.encoders.base import Encoder
from tissuemake.histology.encoders.colors import ColorEncoder
from tissuemake.histology.encoders.embed import LOOKED_AT, embed_tiles, load_encoder, write_embeddings
from tissuemake.histology.published_encoders import ENCODERS, Published

__all__ = [
    "ENCODERS",
    "LOOKED_AT",
    "ColorEncoder",
    "Encoder",
    "Published",
    "embed_tiles",
    "load_encoder",
    "write_embeddings",
]
