"""The whole DAG on real data sets: `make real DATA=folder`. Prints the table that README.md shows."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from prepare import prepare  # noqa: E402

REPOSITORY = HERE.parents[1]
MARK = "<!-- measured by `make real` -->"


def run(data: Path, folder: Path, cores: int) -> subprocess.CompletedProcess:
    """Prepare `folder` and run the workflow in it as a user would."""
    prepare(data, folder)
    command = [Path(sys.executable).with_name("snakemake"), "--snakefile", REPOSITORY / "Snakefile"]
    command += ["--directory", folder, "--cores", str(cores)]
    environment = {**os.environ, "TISSUEMAKE_DATA": str(data)}
    return subprocess.run([str(part) for part in command], env=environment, check=False)


COLUMNS = (
    ("NNLS r", "deconvolution", "nnls", "pearson"),
    ("NNLS r, shared types", "deconvolution", "nnls", "pearson_shared"),
    ("rescaled r, shared types", "deconvolution", "nnls_rescaled", "pearson_shared"),
    ("SpaRank r, shared types", "deconvolution", "sparank", "pearson_shared"),
    ("NNLS RMSE", "deconvolution", "nnls", "rmse"),
    ("uniform RMSE", "deconvolution", "uniform", "rmse"),
    ("hidden genes: reference", "imputation", "reference", "held_out_r"),
    ("neighbours", "imputation", "neighbors", "held_out_r"),
    ("depth alone", "imputation", "depth", "held_out_r"),
    ("domains ARI", "domains", "spatial", "ari"),
    ("k-means ARI", "domains", "kmeans", "ari"),
)


def table(folder: Path) -> pd.DataFrame:
    """A row per sample: spots kept, scores beside baselines, seconds over all jobs and peak memory of the largest."""
    rows = []
    for sample in sorted((folder / "results" / "samples").iterdir()):
        kept, total = _spots(sample / "filtered.h5ad")
        scores = pd.read_parquet(sample / "evaluation.parquet")
        seconds, memory = _cost(folder / "benchmarks", sample.name)
        rows.append(
            {
                "sample": sample.name,
                "spots kept": f"{kept} / {total}",
                **{title: _score(scores, task, method, metric) for title, task, method, metric in COLUMNS},
                "seconds": round(seconds),
                "peak MB": round(memory),
            }
        )
    return pd.DataFrame(rows)


def _spots(path: Path) -> tuple[int, int]:
    import anndata as ad

    filtered = ad.read_h5ad(path, backed="r")
    kept, dropped = filtered.n_obs, len(filtered.uns["dropped"])
    filtered.file.close()
    return kept, kept + dropped


def _score(scores: pd.DataFrame, task: str, method: str, metric: str) -> str:
    chosen = scores.query("task == @task and method == @method and metric == @metric")["value"]
    return f"{chosen.iloc[0]:.3f}" if len(chosen) else ""


def _cost(benchmarks: Path, sample: str) -> tuple[float, float]:
    files = [*(benchmarks / "samples" / sample).rglob("*.tsv"), benchmarks / "delivery" / f"{sample}.tsv"]
    measured = pd.concat([pd.read_csv(path, sep="\t", na_values="-") for path in files if path.is_file()])
    return measured["s"].sum(), measured["max_rss"].max()


def main() -> int:
    """Run, print the table, and with ``--write`` put it into README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=HERE / "run")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    data = Path(os.environ["TISSUEMAKE_DATA"])
    if not data.is_dir():
        sys.exit(f"No folder {data}: give the data sets with make real DATA=folder.")
    status = run(data, arguments.folder, arguments.cores).returncode
    if status:
        return status
    text = table(arguments.folder).to_markdown(index=False, disable_numparse=True)
    print(text)
    if arguments.write:
        readme = HERE / "README.md"
        before = readme.read_text().split(MARK)[0]
        readme.write_text(f"{before}{MARK}\n\n{text}\n")
    print(f"\nReport: {arguments.folder / 'results' / 'report' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
