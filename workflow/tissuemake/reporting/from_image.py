"""What was read off the stained image alone, by encoder: files, and who made the vectors under what licence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import h5py
import pandas as pd
import pyarrow as pa
import pyarrow.ipc

from tissuemake import contracts
from tissuemake.errors import InputError
from tissuemake.reporting.licences import commercial_use

# Column, what it is called, its limit, and whether values above (or below) it are the bad ones.
FLAGS = {
    "tissue_fraction": ("less than half of it tissue", 0.5, False),
    "focus": ("out of focus", 0.4, False),
    "pen": ("a tenth or more under pen", 0.1, True),
    "fold": ("folded", 0.15, True),
}


@dataclass(frozen=True)
class Encoder:
    """Who turned tiles into vectors. `licence` is of its weights; empty: not stated."""

    name: str
    tiles: int
    licence: str = ""
    record: dict = field(default_factory=dict)

    @property
    def restricted(self) -> bool:
        """Whether the licence of the weights forbids commercial use."""
        return self.commercial_use is False

    @property
    def commercial_use(self) -> bool | None:
        """Whether it allows commercial use; None where nobody said."""
        return commercial_use(self.licence, self.record.get("commercial"))


@dataclass(frozen=True)
class FromImage:
    """By encoder: tumour probabilities, predicted expression, finer maps; and the encoders themselves."""

    tumor: dict[str, pd.DataFrame] = field(default_factory=dict)
    expression: dict[str, ad.AnnData] = field(default_factory=dict)
    fine: dict[str, ad.AnnData] = field(default_factory=dict)
    encoders: dict[str, Encoder] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tumor or self.expression or self.fine or self.encoders)


def read_encoder(path: str | Path) -> Encoder:
    """Read of an embeddings file what was recorded of its encoder; the vectors stay on disk."""
    try:
        with h5py.File(path) as file:
            record = dict(ad.io.read_elem(file["uns/tissuemake"]))
            tiles = len(ad.io.read_elem(file["obs"]))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            "unreadable_h5ad",
            f"{path} holds no embeddings that can be read ({error}).",
            f"Delete it and run again; {contracts.EMBEDDINGS.written_by} writes it.",
        ) from error
    name = str(record.get("encoder") or Path(path).stem)
    return Encoder(name, tiles, str(record.get("licence") or record.get("license") or ""), record)


def read_tumor(path: str | Path) -> pd.DataFrame:
    """Read ``tumor/{encoder}.parquet``: index barcode, column ``probability`` from 0 to 1."""
    table = contracts.read_table(path, contracts.TUMOR)
    values = table["probability"].dropna()
    if not values.between(0, 1).all():
        raise InputError(
            "broken_contract",
            f"{path}: column probability holds values that are not between 0 and 1.",
            f"The stage {contracts.TUMOR.written_by} should have written it; run that again with this version.",
        )
    return table


def read_from_image(
    imputed: Mapping[str, ad.AnnData],
    tumor: Mapping[str, Path],
    highres: Mapping[str, Path],
    embeddings: Mapping[str, Path],
) -> FromImage:
    """Gather what the image alone says of a sample; predicted expression is found among `imputed`."""
    return FromImage(
        tumor={name: read_tumor(path) for name, path in tumor.items()},
        expression={name: data for name, data in imputed.items() if is_from_image(name, data, embeddings)},
        fine={name: contracts.read_anndata(path, contracts.HIGHRES) for name, path in highres.items()},
        encoders={name: read_encoder(path) for name, path in embeddings.items()},
    )


def is_from_image(name: str, prediction: ad.AnnData, embeddings: Mapping[str, object] = ()) -> bool:
    """Whether genes were predicted from tiles and not from other genes: its record names an encoder."""
    return bool(prediction.uns["tissuemake"].get("encoder")) or name in embeddings


def tile_flags(tiles: str | Path) -> dict:
    """Count tiles and what is wrong with them, of the columns of the tile file; its pictures stay on disk.

    Returns
    -------
    dict
        ``record`` (what made them), ``tiles`` (number), ``kinds`` (kind → number) and ``flags``:
        ``(what, number)`` for each thing looked for.
    """
    table = contracts.read_table(tiles, contracts.TILES)
    flags = [
        (label, int((table[name] >= limit).sum() if high else (table[name] < limit).sum()))
        for name, (label, limit, high) in FLAGS.items()
        if table.empty or table[name].notna().any()
    ]
    if "usable" in table:
        flags.append(("of no use to train on", int((~table["usable"].astype(bool)).sum())))
    return {
        "record": tile_record(tiles),
        "tiles": len(table),
        "kinds": {str(kind): int(count) for kind, count in table["kind"].value_counts().items()},
        "flags": flags,
    }


def tile_record(tiles: str | Path) -> dict:
    """Return what made a tile file; it stands with the last batch, because it ends with seconds and memory."""
    with pa.memory_map(str(tiles)) as source:
        file = pa.ipc.open_file(source)
        last = file.num_record_batches - 1
        metadata = file.get_batch_with_custom_metadata(last).custom_metadata if last >= 0 else None
    return json.loads((metadata or {}).get(b"tissuemake", b"{}"))
