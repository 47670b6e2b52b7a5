"""From a sample's tiles to the file of one vector per tile, in constant memory."""

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from tissuemake.contracts import EMBEDDINGS, check_anndata
from tissuemake.errors import InputError
from tissuemake.files import atomic
from tissuemake.histology.encoders.base import Encoder
from tissuemake.histology.encoders.colors import ColorEncoder
from tissuemake.histology.published_encoders import ENCODERS, Published
from tissuemake.histology.tile_store import TileStore
from tissuemake.provenance import measured

ROWS_IN_MEMORY = 128
LOOKED_AT = 64
# By how far the pixels may differ from those of the training: half as fine or twice as coarse would be 1.
MOST_OCTAVES = 0.5
PLACE = ["kind", "x", "y", "size_um"]
LOADERS = {
    "transformers": "transformers_models",
    "timm": "timm_models",
    "conch": "conch",
    "ctranspath": "ctranspath",
}


def embed_tiles(
    tiles: Path,
    output: Path,
    *,
    encoder: str = "color",
    weights: str | Path | None = None,
    gpus: int = 0,
) -> None:
    """Encode every tile of a sample with an encoder by name.

    Parameters
    ----------
    tiles
        Written by `tile_slide`; one without rows gives a file without observations.
    output
        ``.h5ad``: obs by tile, in the order of `tiles`, with ``kind``, ``x``, ``y`` (full-resolution pixels) and
        ``size_um``; var the encoder's features; ``X`` float32; uns["tissuemake"] encoder, licence, whether that is
        ``commercial``, weights (hub id and commit, or folder) and their SHA-256, device.
    encoder
        A name in `ENCODERS`.
    weights
        Folder, file or hub id of the weights; None takes those of the hub.
    gpus
        GPUs that the job was given; networks use the first.

    Raises
    ------
    InputError
        ``unknown_method`` for an encoder that does not exist, ``broken_contract`` for a table that is no tiles, and
        those of `load_encoder`.
    """
    model, facts = load_encoder(encoder, weights, gpus=gpus)
    write_embeddings(tiles, output, model, encoder, **facts)


def load_encoder(name: str, weights: str | Path | None = None, *, gpus: int = 0) -> tuple[Encoder, dict]:
    """Return the encoder `name`, ready to use, and what provenance records of it.

    Raises
    ------
    InputError
        ``unknown_method``, ``weights_not_used``, ``weights_needed``, ``missing_model``, ``missing_model_file``,
        ``pickle_refused``, ``unreadable_model``, ``wrong_model``, ``missing_package``, ``gated_model``,
        ``hub_unreachable``, ``gpu_not_visible``.
    """
    if name not in ENCODERS:
        raise InputError(
            "unknown_method",
            f"The tile encoder '{name}' is unknown.",
            f"Choose among {', '.join(ENCODERS)} (histology: encoders); a model of your own is 'spafoundation'.",
        )
    entry = ENCODERS[name]
    facts = {"licence": entry.licence, "commercial": entry.commercial, "reference": entry.reference}
    if entry.loader != "color":
        return _load_network(name, entry, weights, gpus, facts)
    if weights:
        raise InputError(
            "weights_not_used",
            f"The encoder '{name}' has no weights, but {weights} was given.",
            "Leave the weights out, or name the encoder that they belong to.",
        )
    return ColorEncoder(), facts


def _load_network(
    name: str, entry: Published, weights: str | Path | None, gpus: int, facts: dict
) -> tuple[Encoder, dict]:
    from tissuemake.device import given_device
    from tissuemake.histology.encoders.network import NetworkEncoder
    from tissuemake.histology.encoders.weights import find_weights

    device = given_device(min(gpus, 1))
    source = find_weights(name, entry, weights)
    loader = import_module(f"tissuemake.histology.encoders.{LOADERS[entry.loader]}")
    network = loader.load_network(name, entry, source)
    model = NetworkEncoder(
        name, network, size_px=entry.size_px, normalisation=entry.normalisation, device=device
    )
    if len(model.features) != entry.features:
        raise InputError(
            "wrong_model",
            f"{source.folder} holds a network of {len(model.features)} features; '{name}' has {entry.features}.",
            f"Give the weights of '{name}' ({entry.hub or entry.reference}).",
        )
    return model, facts | source.facts() | {"device": device.name, "precision": device.precision}


def write_embeddings(tiles: Path, output: Path, model: Encoder, name: str, **provenance: object) -> None:
    """Encode every tile with `model` and write the file that `embed_tiles` describes.

    Parameters
    ----------
    name
        The encoder's, as provenance and later steps call it.
    provenance
        More to record: ``device``, ``licence``, …
    """
    with atomic(output) as partial, TileStore(tiles) as store, h5py.File(partial, "w") as file:
        with measured("embed_tiles", encoder=name, **provenance) as record:
            table = store.table
            var = pd.DataFrame(index=pd.Index(model.features, name="feature"))
            described = ad.AnnData(obs=table[PLACE], var=var, uns={"tissuemake": {}})
            check_anndata(described, EMBEDDINGS, output)
            ad.io.write_elem(file, "/", described)
            if len(table):
                record |= _scale(name, float(table["size_um"].iloc[0] / _input_px(table, model)))
                model.look(store.pixels(_some_with_tissue(table)))
            _write_vectors(file, _vectors(store, table, model), described.shape, name)
        ad.io.write_elem(file, "uns/tissuemake", record)


def _input_px(table: pd.DataFrame, model: Encoder) -> int:
    """Edge of the picture that the encoder sees: its own, or that of the tiles."""
    return getattr(model, "size_px", table["size_px"].iloc[0])


def _scale(name: str, input_mpp: float) -> dict[str, object]:
    """What provenance records of the µm per pixel that the encoder sees; a note where it was not taught on such."""
    trained = ENCODERS[name].mpp if name in ENCODERS else ()
    if not trained or min(abs(math.log2(input_mpp / mpp)) for mpp in trained) < MOST_OCTAVES:
        return {"input_mpp": input_mpp}
    pixels = ", ".join(f"{mpp:g}" for mpp in trained)
    edge = ENCODERS[name].size_px * min(trained, key=lambda mpp: abs(math.log2(input_mpp / mpp)))
    note = (
        f"'{name}' sees {input_mpp:g} µm per pixel and was trained at {pixels}; tiles of {edge:g} µm suit it."
    )
    print(f"NOTE {note} (tiles: size_um)", file=sys.stderr)
    return {"input_mpp": input_mpp, "note": note}


def _some_with_tissue(table: pd.DataFrame) -> np.ndarray:
    """Rows of at most `LOOKED_AT` tiles with tissue, spread over the table."""
    fraction = table["tissue_fraction"].to_numpy()
    rows = np.flatnonzero(fraction >= min(0.5, fraction.max()))
    return rows[np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(int)]


def _vectors(store: TileStore, table: pd.DataFrame, model: Encoder) -> Iterator[np.ndarray]:
    """Vectors of all tiles in order, batch by batch; the next batch is decoded while one is encoded."""
    mpp = (table["size_um"] / table["size_px"]).to_numpy()
    starts = range(0, len(table), ROWS_IN_MEMORY)
    batches = [np.arange(start, min(start + ROWS_IN_MEMORY, len(table))) for start in starts]
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(store.pixels, rows) for rows in batches[:1]]
        for number, rows in enumerate(batches):
            pictures = coming.pop().result()
            coming = [reader.submit(store.pixels, later) for later in batches[number + 1 : number + 2]]
            yield model.encode(pictures, float(mpp[rows[0]]))


def _write_vectors(file: h5py.File, batches: Iterator[np.ndarray], shape: tuple[int, int], name: str) -> None:
    """Write ``X`` as AnnData stores a dense array, without ever holding all of it."""
    matrix = file.create_dataset("X", shape, "float32")
    matrix.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    start = 0
    pause = 0.5 if sys.stderr.isatty() else 30.0  # a log gets a line now and then
    with tqdm(total=shape[0], desc=name, unit="tile", mininterval=pause) as progress:
        for vectors in batches:
            matrix[start : start + len(vectors)] = vectors
            start += len(vectors)
            progress.update(len(vectors))
