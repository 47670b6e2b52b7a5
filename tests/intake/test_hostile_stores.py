"""HDF5 that reads other files or unfolds out of nothing, and pickles wherever they hide: refused, and never run."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

import whole_folders
from dropped_sections import section
from intake.hostile import MATRIX, Evil, rows, scanned
from tissuemake.errors import InputError
from tissuemake.models.store import load_model
from tissuemake.raw_counts import read_spots
from tissuemake.sheets import Reference

# HDF5 that reads other files, or unfolds out of nothing.


def foreign_link(handle: h5py.File, outside: Path) -> None:
    handle["matrix/data"] = h5py.ExternalLink(str(outside), "/data")


def foreign_storage(handle: h5py.File, outside: Path) -> None:
    handle["matrix"].create_dataset("data", (6,), "u1", external=[(str(outside), 0, h5py.h5f.UNLIMITED)])


def foreign_view(handle: h5py.File, outside: Path) -> None:
    layout = h5py.VirtualLayout((6,), "u1")
    layout[:] = h5py.VirtualSource(str(outside), "data", (6,))
    handle["matrix"].create_virtual_dataset("data", layout)


def out_of_nothing(handle: h5py.File, outside: Path) -> None:
    handle["matrix"].create_dataset("data", (1 << 40,), "i4", chunks=(1 << 20,), compression="gzip")


def objects(handle: h5py.File, outside: Path) -> None:
    handle["matrix"].create_dataset("data", (6,), h5py.string_dtype())


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (foreign_link, "unsafe_hdf5"),
        (foreign_storage, "unsafe_hdf5"),
        (foreign_view, "unsafe_hdf5"),
        (out_of_nothing, "decompression_bomb"),
        (objects, "unreadable_matrix"),
    ],
)
def test_a_matrix_that_is_not_its_own_is_refused(inbox, spoil: Callable, code):
    outs = section(inbox / "sample", 1)
    with h5py.File(outs / MATRIX, "a") as handle:
        del handle["matrix/data"]
        spoil(handle, inbox.parent / "outside.h5")
    assert scanned(inbox)["sample/outs"] == code and not rows(inbox)


@pytest.mark.parametrize("where", ["obs/_index", "obs/labels", "uns/spatial", "layers/counts"])
def test_an_h5ad_of_objects_and_pickles_is_refused_and_runs_nothing(inbox, tmp_path, where):
    path, mark = Path(whole_and_placed(inbox / "cells.h5ad")), tmp_path / "ran"
    with h5py.File(path, "a") as handle:
        if where in handle:
            del handle[where]
        if where == "uns/spatial":
            handle[where] = np.void(pickle.dumps(Evil(mark)))
        elif where == "layers/counts":
            handle[where] = h5py.ExternalLink(str(tmp_path / "outside.h5"), "/x")
        else:
            handle.create_dataset(where, (36,), h5py.vlen_dtype(np.uint8))[0] = np.frombuffer(
                b"pickle", np.uint8
            )
    assert scanned(inbox) == {"cells.h5ad": "unsafe_hdf5"} and not rows(inbox)
    with pytest.raises(InputError) as caught:
        read_spots(path)
    assert caught.value.code == "unsafe_hdf5" and not mark.exists()


def whole_and_placed(path: Path) -> str:
    adata = ad.AnnData(
        whole_folders.counts(), var=pd.DataFrame(index=whole_folders.genes()["name"].to_numpy())
    )
    adata.obsm["spatial"] = whole_folders.spots()[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    adata.write_h5ad(path)
    return str(path)


def test_an_atlas_that_reads_other_files_is_refused(tmp_path):
    from tissuemake.quality.reference_peek import peek
    from tissuemake.reference.counts import read_counts

    row = whole_folders.atlas(tmp_path / "atlas")
    with h5py.File(row["path"], "a") as handle:
        handle["uns/more"] = h5py.ExternalLink(str(tmp_path / "outside.h5"), "/x")
    with pytest.raises(InputError, match="link into another file"):
        peek(Reference(**row))
    with pytest.raises(InputError, match="link into another file"):
        read_counts(row["path"])


# Pickles.


@pytest.mark.parametrize(
    "codec", [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "delta"}, {"id": "pickle"}]}]
)
def test_a_zarr_whose_codec_is_a_pickle_is_refused_and_runs_nothing(inbox, tmp_path, codec):
    mark, index = tmp_path / "ran", inbox / "store.zarr" / "tables" / "table" / "obs" / "_index"
    index.mkdir(parents=True)
    (inbox / "store.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    array = {"chunks": [3], "shape": [3], "dtype": "<i4", "fill_value": 0, "order": "C", "zarr_format": 2}
    (index / ".zarray").write_text(json.dumps({**array, "compressor": None, "filters": None, **codec}))
    (index / "0").write_bytes(pickle.dumps(Evil(mark)))
    assert scanned(inbox)["store.zarr"] == "pickle_refused" and not mark.exists()


@pytest.mark.parametrize("name", ["weights.pkl", "model.safetensors"])
def test_pickles_in_a_model_folder_are_refused_and_run_nothing(tmp_path, name):
    """Beside everything that a model has, and under the name of its weights."""
    mark, folder = tmp_path / "ran", tmp_path / "model"
    folder.mkdir()
    content = pickle.dumps(Evil(mark))
    (folder / "model.safetensors").write_bytes(b"")
    (folder / name).write_bytes(content)
    config = {
        "kind": "sparank",
        "format": 1,
        "weights": {"sha256": __import__("hashlib").sha256(content).hexdigest()},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as caught:
        load_model(folder)
    assert caught.value.code == ("pickle_refused" if name.endswith("pkl") else "unreadable_model")
    assert not mark.exists()
