"""How good and how fast is deconvolution? All methods on data with known composition: `make benchmark`.

Prints one table and writes every number to results/evaluation/deconvolution.parquet. What is done is kept: a run
that was cut goes on where it stopped, and code that changed is run again (comments do not count).

Trainings of the model for each seed: three real atlases (STARmap section 2, motor cortex, TNBC), the simulated atlas,
the other tissue's own, and one with a type left out (another type for every seed): 6; its twin on log-CP10k the same
six; the other head, which takes four times as long, the first four of seed 0. 64 in all; two runs with half of the
seeds each (`--seeds 0,1`) may share a folder.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks import fingerprint, methods, sparank_rows, speed  # noqa: E402
from benchmarks.protocols import TESTS, Bench  # noqa: E402
from benchmarks.table import render, summary  # noqa: E402
from tissuemake.contracts import EVALUATION, read_table, write_table  # noqa: E402
from tissuemake.files import atomic, write_text  # noqa: E402
from tissuemake.models.sparank.architecture import PRESETS  # noqa: E402

log = logging.getLogger("benchmark")
MARK = "<!-- measured by `make benchmark OPTIONS=--write` -->"
REPOSITORY = HERE.parents[1]
PACKAGE = REPOSITORY / "workflow" / "tissuemake"
# Code that answers depend on; the models' own is in `sparank_rows`.
ASKED_BY = [
    HERE / f"{name}.py" for name in ("problems", "simulated", "shifts", "scoring", "protocols", "methods")
]
BASELINES = [PACKAGE / name for name in ("deconvolution", "least_squares.py", "reference", "genes.py")]
# Taken when the code is loaded, so that edits during a long run are not taken for what it ran.
VERSION = {
    "untrained": fingerprint.of_code(*ASKED_BY, *BASELINES),
    "learned": fingerprint.of_code(*ASKED_BY, *sparank_rows.ANSWERED_BY),
}


def skipped(method: str, seed: int, bench: Bench) -> str:
    """Why a method does not take part; empty when it does."""
    if method in methods.PEERS:
        if methods.peer_python(method) is None:
            return methods.NO_PEER
        if method == "cell2location" and not bench.epochs:
            return "hours on a CPU: give --cell2location-epochs (its authors train 30000)"
    slow = method in (*methods.PEERS, sparank_rows.OTHER)
    return "one seed only, for its time" if slow and seed != 0 else ""


def run_test(name: str, method: str, seed: int, bench: Bench) -> pd.DataFrame:
    """Rows of one test, method and seed, from the folder of what is done or by doing it."""
    version = VERSION["learned" if method in sparank_rows.VARIANTS else "untrained"]
    said = f"-{bench.epochs}" if method == "cell2location" else ""
    if method in sparank_rows.VARIANTS:
        # Answers of models that older code trained are never taken for those of this code.
        said += f"-{bench.trainer.preset}{'-kept' if bench.trainer.keep_models else ''}"
    kept = bench.work / "scores" / f"{name}-{method}{said}-{seed}-{version}.parquet"
    if kept.is_file():
        return pd.read_parquet(kept)
    row = f"{method} ({bench.epochs} epochs)" if method == "cell2location" else method
    started, bench.seconds, bench.memory = time.perf_counter(), 0.0, float("nan")
    rows = [vars(score) for score in TESTS[name].score(bench, method, seed)]
    log.info("%s, %s, seed %d: %.0f s", name, method, seed, time.perf_counter() - started)
    table = pd.DataFrame(rows, columns=["problem", "metric", "value", "kind"])
    table = table.assign(test=name, method=row, seed=seed, seconds=bench.seconds, peak_memory_mb=bench.memory)
    with atomic(kept) as partial:
        table.to_parquet(partial)
    return table


def run(
    tests: list[str], seeds: list[int], bench: Bench, only: list[str]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """All rows, and which methods were skipped and why. Seeds outermost: a cut run has whole seeds."""
    done, missing = [], {}
    for seed in seeds:
        for name in tests:
            test = TESTS[name]
            for method in [*test.methods, *test.peers]:
                if only and method not in only:
                    continue
                reason = skipped(method, seed, bench)
                if reason and seed == seeds[0]:
                    missing[method] = reason
                elif reason:
                    continue
                else:
                    done.append(run_test(name, method, seed, bench))
    return pd.concat(done, ignore_index=True), missing


def tidy(rows: pd.DataFrame) -> pd.DataFrame:
    """Contract EVALUATION: the problem is the sample; test, seed and kind stand beside."""
    table = rows.rename(columns={"problem": "sample"}).assign(task="deconvolution")
    return table[[*EVALUATION.columns, "seed", "test", "kind"]]


def write(rows: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Write `rows`, keeping tests of an earlier run that were not run now; returns all."""
    table = tidy(rows)
    if output.is_file():
        before = read_table(output, EVALUATION)
        if "test" in before:
            table = pd.concat([before[~before["test"].isin(table["test"])], table], ignore_index=True)
    write_table(table, output, EVALUATION, {"command": "make benchmark"})
    return table.rename(columns={"sample": "problem"})


def which(seeds: str) -> list[int]:
    """``5``: the first five; ``0,3``: these two."""
    return [int(seed) for seed in seeds.split(",")] if "," in seeds else list(range(int(seeds)))


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="5", help="how many, or which: 0,1")
    parser.add_argument("--tests", default=",".join([*TESTS, "speed"]))
    parser.add_argument("--methods", default="", help="only these, separated by commas")
    parser.add_argument("--cell2location-epochs", type=int, default=0, help="0: not asked, but for its speed")
    parser.add_argument("--preset", default="tiny", choices=tuple(PRESETS))
    parser.add_argument("--gpus", type=int, default=0, help="for the model; 0: the CPU")
    parser.add_argument("--keep-models", action="store_true", help="even those that older code trained")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "results" / "benchmark")
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "results" / "evaluation" / "deconvolution.parquet"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    logging.getLogger("tissuemake").setLevel(logging.ERROR)
    tests = [name for name in arguments.tests.split(",") if name]
    unknown = [name for name in tests if name not in (*TESTS, "speed")]
    if unknown:
        parser.error(f"unknown test {', '.join(unknown)}; choose among {', '.join([*TESTS, 'speed'])}")
    trainer = sparank_rows.Trainer(arguments.preset, arguments.gpus, arguments.keep_models)
    bench = Bench(arguments.data, arguments.work, arguments.cell2location_epochs, trainer)
    only = [name for name in arguments.methods.split(",") if name]
    parts, missing = [], {}
    accuracy = [name for name in tests if name != "speed"]
    if accuracy:
        rows, missing = run(accuracy, which(arguments.seeds), bench, only)
        parts.append(rows)
    if "speed" in tests:
        rows, slow = speed.run(bench.work, only, bench.trainer)
        parts.append(rows)
        missing |= slow
    table = summary(write(pd.concat(parts, ignore_index=True), arguments.output))
    notes = [f"Skipped {method}: {reason}." for method, reason in missing.items()]
    text = "\n".join([render(table), "", *notes])
    print(text)
    if arguments.write:
        readme = HERE / "README.md"
        write_text(f"{readme.read_text().split(MARK)[0]}{MARK}\n\n{text}\n", readme)


if __name__ == "__main__":
    main()
