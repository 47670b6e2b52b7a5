"""The tile store: any tile at any time, after forks and pickles, with its table and provenance."""

import multiprocessing
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest

from tissuemake.errors import InputError
from tissuemake.histology.tile_store import TileStore, write_tiles


@pytest.fixture
def store(tmp_path):
    """600 tiles of 16 px; tile i is of colour (i % 256, i // 256 * 80, 50)."""
    colours = [(i % 256, i // 256 * 80, 50) for i in range(600)]
    pictures = [np.full((16, 16, 3), colour, np.uint8) for colour in colours]
    table = pd.DataFrame({"x": np.arange(600.0)}, index=[f"t{i}" for i in range(600)])
    write_tiles(tmp_path / "tiles.arrow", table, pictures, {"method": "test"})
    return TileStore(tmp_path / "tiles.arrow")


def shows(pixels, rows):
    expected = np.array([(row % 256, row // 256 * 80, 50) for row in rows])
    return (
        pixels.shape == (len(rows), 16, 16, 3) and np.abs(pixels[:, 8, 8].astype(int) - expected).max() <= 3
    )


def test_rows_come_in_the_order_asked_for_and_may_repeat(store):
    rows = [599, 0, 300, 0, 255, 256, 17]
    assert shows(store.pixels(rows), rows)
    assert shows(store.pixels(np.arange(600)), range(600))
    assert store.jpegs([3])[0][:2] == b"\xff\xd8"


def test_table_has_all_but_the_picture(store):
    assert len(store) == len(store.table) == 600
    assert store.table.index.name == "tile" and "jpeg" not in store.table
    assert store.table.loc["t41", "x"] == 41 and (store.table["size_px"] == 16).all()
    assert store.provenance["method"] == "test"


def _mean(store, rows, queue):
    queue.put(bool(shows(store.pixels(rows), rows)))


def test_forked_and_pickled_stores_read_on(store):
    assert shows(pickle.loads(pickle.dumps(store)).pixels([7]), [7])
    store.pixels([1])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_mean, args=(store, rows, queue)) for rows in ([5, 599], [400, 2, 3])]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=30), queue.get(timeout=30)] == [True, True]
    for worker in workers:
        worker.join()


def test_a_file_without_tiles_is_empty(tmp_path):
    write_tiles(tmp_path / "none.arrow", pd.DataFrame(index=pd.Index([], dtype=str)), [])
    with TileStore(tmp_path / "none.arrow") as store:
        assert len(store) == 0 and store.table.empty and store.jpegs([]) == [] and len(store.pixels([])) == 0


def test_a_file_of_before_folds_were_looked_for_is_read(store, tmp_path):
    with pa.memory_map(str(tmp_path / "tiles.arrow")) as source:
        rows = pa.ipc.open_file(source).read_all().drop_columns(["fold"]).combine_chunks()
    with pa.ipc.new_file(str(tmp_path / "old.arrow"), rows.schema) as writer:
        writer.write_table(rows)
    old = TileStore(tmp_path / "old.arrow")
    assert old.table["fold"].isna().all() and (store.table["fold"] == 0).all()
    assert shows(old.pixels([7]), [7])


def test_what_is_no_tile_file_is_refused(tmp_path):
    (tmp_path / "x.arrow").write_bytes(b"no tiles at all")
    with pytest.raises(InputError, match=r"x\.arrow"):
        TileStore(tmp_path / "x.arrow")
