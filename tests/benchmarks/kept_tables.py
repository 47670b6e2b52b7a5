"""Tables of scores that a benchmark keeps, each made once, and the lines that say how long it took."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.score_rows import Cost, costing
from tissuemake.files import atomic, write_json

log = logging.getLogger("benchmark")


def kept(path: Path, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table at `path`, or what `make` gives, written there."""
    if not path.is_file():
        started = time.perf_counter()
        table = make()
        with atomic(path) as partial:
            table.to_parquet(partial)
        log.info("%s: %.0f s", path.stem, time.perf_counter() - started)
    return pd.read_parquet(path)


def once(folder: Path, make: Callable[[], object]) -> Cost:
    """What it took to `make` the folder (a model), made once; the cost is kept beside it."""
    spent = folder.with_name(f"{folder.name}.json")
    if not spent.is_file():
        with costing() as cost:
            make()
        write_json(vars(cost), spent)
        log.info("%s: %.0f s", folder.name, cost.seconds)
    return Cost(**json.loads(spent.read_text(encoding="utf-8")))


def start_log() -> None:
    """Lines of this benchmark with their time; of other libraries only what is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
