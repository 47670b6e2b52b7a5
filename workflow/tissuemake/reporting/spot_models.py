"""What the spatial graph model says beside imputed genes and domains: labels, and answers to perturbation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from tissuemake import contracts
from tissuemake.errors import InputError
from tissuemake.reporting import figures
from tissuemake.reporting.layers import Group, Layer, class_layer

LABELS = "Labels, learnt on other samples"
SURE_OF = "Probability of the label"
TOP_PAIRS = 15
SIGNIFICANT = 0.05
ANSWERS = ("effect", "swapped_effect", "random_effect", "pvalue_fdr", "network_effect")


@dataclass(frozen=True)
class SpotModels:
    """By model: labels per spot, answers per pair, and the record of who embedded the spots."""

    annotation: dict[str, pd.DataFrame] = field(default_factory=dict)
    perturbation: dict[str, pd.DataFrame] = field(default_factory=dict)
    embeddings: dict[str, dict] = field(default_factory=dict)

    def records(self) -> dict[tuple[str, str], dict]:
        """Step and model → provenance record."""
        found = {("embedding of spots", name): record for name, record in self.embeddings.items()}
        for step, tables in (("annotation", self.annotation), ("perturbation", self.perturbation)):
            found |= {(step, name): table.attrs.get("tissuemake", {}) for name, table in tables.items()}
        return found


def read_spot_models(
    annotation: Mapping[str, Path], perturbation: Mapping[str, Path], embeddings: Mapping[str, Path]
) -> SpotModels:
    """Read what was written of each; of embeddings only who made them: the vectors stay on disk."""
    return SpotModels(
        {name: contracts.read_table(path, contracts.ANNOTATION) for name, path in annotation.items()},
        {name: contracts.read_table(path, contracts.PERTURBATION) for name, path in perturbation.items()},
        {name: read_record(path) for name, path in embeddings.items()},
    )


def read_record(path: str | Path) -> dict:
    """Return the provenance of an ``.h5ad``."""
    try:
        with h5py.File(path) as file:
            return dict(ad.io.read_elem(file["uns/tissuemake"]))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            "unreadable_h5ad",
            f"{path} holds no embeddings that can be read ({error}).",
            f"Delete it and run again; {contracts.SPOT_EMBEDDINGS.written_by} writes it.",
        ) from error


def label_groups(found: SpotModels, barcodes: pd.Index) -> list[Group]:
    """A group of the labels and one of how sure the probe is, a layer per model each."""
    labels = [class_layer(name, table["label"].reindex(barcodes)) for name, table in found.annotation.items()]
    sure = [
        Layer(
            name,
            table["probability"].reindex(barcodes).to_numpy(float),
            "probability of the label",
            floor=0.0,
            ceiling=1.0,
        )
        for name, table in found.annotation.items()
    ]
    note = "Given by a linear probe on the numbers of each spot, taught on labelled samples of other donors."
    return [Group(LABELS, labels, note), Group(SURE_OF, sure)]


def annotations(found: SpotModels, noun: str) -> list[dict]:
    """Of each model how many spots bear which label, how sure it is, and where to see it."""
    described = []
    for name, table in found.annotation.items():
        given = table["label"].dropna().astype(str)
        counts = given.value_counts()
        probability = table["probability"].to_numpy(float)
        described.append(
            {
                "method": name,
                "rows": [
                    {"label": str(label), "spots": int(count), "bar": figures.share_bar(count / counts.max())}
                    for label, count in counts.items()
                ],
                "bare": len(table) - len(given),
                "seen": int(table["seen"].astype(bool).sum()) if "seen" in table else 0,
                "figure": figures.histogram(
                    {"probability": probability},
                    unit="probability of the label",
                    noun=f"{noun}s",
                    span=(0, 1),
                )
                if np.isfinite(probability).any()
                else None,
                "show": {"group": LABELS, "key": name, "beside": "Tissue domains"} if len(given) else None,
            }
        )
    return described


def perturbations(found: SpotModels) -> list[dict]:
    """Of each model the pairs whose answer is clearest, smallest false discovery rate first."""
    return [{"method": name, **clearest_pairs(table)} for name, table in found.perturbation.items()]


def clearest_pairs(table: pd.DataFrame) -> dict:
    """Return ``asked``, ``below`` (pairs with a false discovery rate below 5%), the first ``rows``, ``findings``."""
    ranked = table.assign(size=table["zscore"].abs()).sort_values(
        ["pvalue_fdr", "size"], ascending=[True, False], kind="stable"
    )
    largest = (
        float(np.nanmax(np.abs(table[["effect", "swapped_effect"]].to_numpy(float)), initial=0.0)) or 1.0
    )
    return {
        "asked": len(table),
        "below": int((table["pvalue_fdr"] < SIGNIFICANT).sum()),
        # Why there are none.
        "findings": list(table.attrs.get("tissuemake", {}).get("findings", [])),
        "rows": [
            {
                **{key: str(row[key]) for key in ("ligand", "receptor", "target")},
                **{key: float(row[key]) for key in ANSWERS},
                "slides": int(row.get("slides", 1)),
                "bar": figures.share_bar(abs(row["effect"]) / largest),
            }
            for _, row in ranked.head(TOP_PAIRS).iterrows()
        ],
    }
