"""A toy tissue of 60 spots whose names are hostile, written as contract files."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake import contracts, files

SAMPLE = "toy-1"
TYPES = ["Tumour </script><script>alert(1)</script>", "T cell / NK", "Myeloid & mast", 'Stroma "A"', "B cell"]
LEVEL = "lineage <i>of/cells</i>"
LINEAGES = dict(zip(TYPES, ["Tumour", "Immune", "Immune", "Stroma & vessels", "Immune"], strict=True))
HIERARCHY = {"hierarchy": {LEVEL: LINEAGES}}
HOSTILE_GENE = "<img src=x onerror=alert(2)>"
SPOTS, GENES, SCALE, PITCH = 60, 50, 0.25, 160.0

MODEL = {
    "architecture": {"layers": 4, "width": 96},
    "preset": "tiny",
    "reference": "<em>atlas</em>",
    "labels": TYPES,
    "vocabulary": [f"GENE{i}" for i in range(500)],
}

CARD = """---
tags: [sparank]
---

# sparank-atlas

## Intended use

Spots of <b>breast</b>.

## Training data

| file | sha256 |
| --- | --- |
| ref\\|erence.h5ad | 0123abcd |

## Scores on held-out donors

| score | value |
| --- | --- |
| pearson, simulated spots | 0.871 |

## Where it fails

- Types that the atlas lacks.
- Depth below 300 counts.
"""


class Toy:
    """Paths of the toy sample's files, and what `report_sample` and `deliver_sample` want."""

    def __init__(
        self, folder: Path, image: bool = True, observation: str = "spot", spots: int = SPOTS
    ) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(3)
        self.observation, self.spots = observation, spots
        self.barcodes = [f"<b>spot</b>-{i}" if i == 0 else f"SPOT{i:04d}-1" for i in range(spots)]
        self.genes = [HOSTILE_GENE, *(f"GENE{i}" for i in range(1, GENES))]
        self.row = {
            "sample": SAMPLE,
            "assay": "visium",
            "path": "data/<toy>",
            "tissue": "<i>breast</i>",
            "mpp": None,
        }
        self._positions()
        self._shares()
        self._write_spots(image)
        self._write_methods()
        self._write_model()
        self._write_statistics()

    def _path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _positions(self) -> None:
        columns = int(np.ceil(np.sqrt(self.spots * 1.25)))
        i = np.arange(self.spots)
        row, column = i // columns, i % columns
        x = 400 + (column + 0.5 * (row % 2)) * PITCH
        self.xy = np.stack([x, 400 + row * PITCH * 0.866], axis=1).astype(float)
        self.side = (int(self.xy[:, 0].max()) + 400, int(self.xy[:, 1].max()) + 400)

    def _shares(self) -> None:
        left = (self.xy[:, 0] - self.xy[:, 0].min()) / np.ptp(self.xy[:, 0])
        weights = np.stack(
            [left**2, (1 - left) ** 2, left * (1 - left), *[np.full(self.spots, 0.08)] * 2], axis=1
        )
        weights += self.rng.random(weights.shape) * 0.02
        self.shares = weights / weights.sum(1, keepdims=True)
        self.domain = np.where(left > 0.66, "1", np.where(left > 0.33, "2", "10"))

    def picture(self) -> np.ndarray:
        """Pink tissue on white, with a dark dot under each spot: alignment shows at once."""
        width, height = (int(side * SCALE) for side in self.side)
        image = np.full((height, width, 3), 244, np.uint8)
        image[60:-60, 60:-60] = (228, 188, 210)
        yy, xx = np.mgrid[:height, :width]
        for x, y in self.xy * SCALE:
            image[(xx - x) ** 2 + (yy - y) ** 2 < 16] = (88, 50, 120)
        return image

    def _write_spots(self, image: bool) -> None:
        profile = self.rng.gamma(0.6, 8, (len(TYPES), GENES))
        counts = sp.csr_matrix(self.rng.poisson(self.shares @ profile).astype(np.float32))
        obs = pd.DataFrame({"in_tissue": True}, index=self.barcodes)
        adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame({"gene_id": ""}, index=self.genes))
        adata.obsm["spatial"] = self.xy
        scales = {"tissue_hires_scalef": SCALE, "spot_diameter_fullres": 88.0, "microns_per_pixel": 0.625}
        images = {"hires": self.picture()} if image else {}
        adata.uns["spatial"] = {SAMPLE: {"images": images, "scalefactors": scales, "metadata": {}}}
        adata.uns["tissuemake"] = {
            "sample": SAMPLE, "assay": "visium", "organism": "human", "tissue": "<i>breast</i>", "donor": "d1",
            "observation": self.observation, "pitch_um": 100.0, "spot_diameter_um": 55.0,
        }  # fmt: skip
        self.ingested = self._path("ingested.h5ad")
        contracts.write_anndata(adata, self.ingested, contracts.INGESTED)
        adata.layers["counts"] = adata.X.copy()
        total = np.asarray(adata.X.sum(1)).ravel()
        adata.X = sp.csr_matrix(np.log1p(adata.X.multiply(1e4 / total[:, None])).astype(np.float32))
        adata.obs["total_counts"] = total
        adata.obs["n_genes_by_counts"] = np.asarray((adata.layers["counts"] > 0).sum(1)).ravel()
        adata.obs["pct_counts_mt"] = self.rng.random(self.spots) * 10
        adata.uns["dropped"] = pd.DataFrame(
            {"reason": ["off tissue", "few counts", "few counts"], "x": [200.0, 300, 350], "y": [200.0, 300, 350],
             "total_counts": [0.0, 3, 5]}, index=["off", "low-a", "low-b"],
        )  # fmt: skip
        adata.uns["quality"] = {"min_counts": {"value": 10.0, "source": "robust", "median": 300.0}}
        self.filtered = self._path("filtered.h5ad")
        contracts.write_anndata(adata, self.filtered, contracts.FILTERED)
        self.check = self._path("check.json")
        finding = {
            "level": "warn",
            "code": "old",
            "message": "File <b>x</b> is old.",
            "remedy": "Use a newer one.",
        }
        content = {
            "sample": SAMPLE,
            "status": "warn",
            "findings": [finding],
            "facts": {"software": "<u>SR</u> 3.0"},
        }
        files.write_json(content, self.check)

    def _write_methods(self) -> None:
        ran = {"method": "nnls", "device": "cpu", "seed": 1, "seconds": 2.5, "peak_memory_mb": 512.0,
               "versions": {"numpy": "2.4.6"}}  # fmt: skip
        self.proportions, self.imputed = {}, {}
        for method in ("nnls", "nnls_rescaled"):
            table = pd.DataFrame(self.shares, index=self.barcodes, columns=TYPES)
            self.proportions[method] = self._path(f"proportions/{method}.parquet")
            contracts.write_table(
                table, self.proportions[method], contracts.PROPORTIONS, {**ran, "method": method, **HIERARCHY}
            )
        names = [*self.genes[:30], "HIDDEN1", "HIDDEN2"]
        for method, quality in (("reference", 0.5), ("neighbors", 0.2)):
            var = pd.DataFrame({"gene_id": "", "measured": [True] * 30 + [False] * 2}, index=names)
            r = np.append(np.clip(self.rng.normal(quality, 0.15, 30), -1, 1), [np.nan, np.nan])
            var["held_out_r"], var["held_out_r_depth_adjusted"] = r, r - 0.1
            values = self.rng.random((self.spots, len(names))).astype(np.float32)
            data = ad.AnnData(values, obs=pd.DataFrame(index=self.barcodes), var=var)
            data.uns["tissuemake"] = {**ran, "method": method}
            self.imputed[method] = self._path(f"imputed/{method}.h5ad")
            contracts.write_anndata(data, self.imputed[method], contracts.IMPUTED)
        domains = pd.DataFrame({"pca": self.domain, "spatial": self.domain}, index=self.barcodes)
        self.domains = self._path("domains.parquet")
        contracts.write_table(domains, self.domains, contracts.DOMAINS, {**ran, "method": "leiden"})

    def _write_model(self) -> None:
        """A pretrained method: its table with doubts, the genes that spoke, its folder, the markers."""
        self.model = self._path("models/sparank-atlas/config.json").parent
        files.write_json(MODEL, self.model / "config.json")
        (self.model / "model.safetensors").write_bytes(b"no weights at all")
        (self.model / "README.md").write_text(CARD)
        step = np.arange(20, 401, 20)
        curve = pd.DataFrame({"step": step, "train_loss": 20 * np.exp(-step / 30) - 4})
        curve["valid_loss"] = -3.8 + 30 / step + (step / 800) ** 2
        curve["learning_rate"], curve["seconds"] = 1e-3, step * 0.3
        curve.attrs = {
            "tissuemake": {
                "seed": 7,
                "device": "cpu (2 threads)",
                "best_step": int(step[curve["valid_loss"].idxmin()]),
            }
        }
        curve.to_parquet(self.model / "training.parquet")
        table = pd.DataFrame(self.shares, index=self.barcodes, columns=TYPES)
        unknown = 0.02 + 0.5 * (self.domain == "10") * self.rng.random(self.spots)
        noisy = np.clip(table + self.rng.normal(0, 0.05, table.shape), 0, 1)
        noisy = noisy.div(noisy.sum(axis=1), axis=0).mul(1 - unknown, axis=0)
        noisy[contracts.UNKNOWN] = unknown
        for name in list(noisy):
            noisy[f"{name}{contracts.SD_SUFFIX}"] = 0.02 + 0.3 * noisy[name] * (1 - noisy[name])
        noisy[contracts.GATE] = 0.4 + 0.5 * self.rng.random(self.spots)
        ran = {"method": "sparank", "device": "cpu (2 threads)", "seed": 1, "seconds": 3.5, "peak_memory_mb": 900.0,
               "model": str(self.model), "weights_sha256": files.sha256(self.model / "model.safetensors")}  # fmt: skip
        self.proportions["sparank"] = self._path("proportions/sparank.parquet")
        contracts.write_table(noisy, self.proportions["sparank"], contracts.PROPORTIONS, {**ran, **HIERARCHY})
        rows = [
            (name, self.genes[3 * i + k], 1.0 - 0.1 * k, k + 1)
            for i, name in enumerate(TYPES)
            for k in range(8)
        ]
        spoke = pd.DataFrame(rows, columns=contracts.ATTRIBUTIONS.columns)
        self.attributions = {"sparank": self._path("attributions/sparank.parquet")}
        contracts.write_table(spoke, self.attributions["sparank"], contracts.ATTRIBUTIONS)
        rows = [
            (name, self.genes[3 * i + 2 * k], 5.0 - k, k + 1)
            for i, name in enumerate(TYPES)
            for k in range(6)
        ]
        self.markers = self._path("markers.parquet")
        contracts.write_table(
            pd.DataFrame(rows, columns=contracts.MARKERS.columns), self.markers, contracts.MARKERS
        )
        self.models = {"sparank": self.model}

    def _write_statistics(self) -> None:
        moran = pd.DataFrame({"I": np.linspace(0.8, -0.1, 20), "pval_norm_fdr": 0.01}, index=self.genes[:20])
        pairs = [(a, b) for a in ("1", "2", "10") for b in ("1", "2", "10")]
        enrichment = pd.DataFrame(pairs, columns=["domain_a", "domain_b"])
        enrichment["zscore"] = [12.0 if a == b else -6.0 for a, b in pairs]
        enrichment["count"] = 10
        links = pd.DataFrame({"ligand": ["CXCL12", "<s>L</s>"], "receptor": ["CXCR4", "R"], "score": [0.9, 0.4],
                              "morans_i": [0.3, 0.2], "pvalue": [0.001, 0.2]})  # fmt: skip
        rows = [
            (SAMPLE, "deconvolution", method, metric, value, 2.5, 512.0)
            for method, metric, value in (
                ("nnls", "pearson", 0.61), ("uniform", "pearson", 0.0),
                ("nnls", "rmse", 0.12), ("uniform", "rmse", 0.10),
            )
        ]  # fmt: skip
        rows += [
            (SAMPLE, "deconvolution", "nnls", f"pearson[{TYPES[0]}]", 0.7, 2.5, 512.0),
            (SAMPLE, "deconvolution", "nnls", "agreement_with[nnls_rescaled]", 0.93, 2.5, 512.0),
            (SAMPLE, "deconvolution", "nnls", "spots", 60.0, 2.5, 512.0),
        ]
        scores = pd.DataFrame(rows, columns=contracts.EVALUATION.columns)
        scores["baseline"] = scores["method"] == "uniform"
        self.statistics = {}
        for name, table, contract in (
            ("moran", moran, contracts.MORAN),
            ("neighborhood_enrichment", enrichment, contracts.NEIGHBORHOOD),
            ("ligand_receptor", links, contracts.LIGAND_RECEPTOR),
        ):
            self.statistics[name] = self._path(f"statistics/{name}.parquet")
            contracts.write_table(table, self.statistics[name], contract)
        self.evaluation = self._path("evaluation.parquet")
        contracts.write_table(scores, self.evaluation, contracts.EVALUATION)

    def report_inputs(self) -> dict:
        """Keyword arguments of `report_sample`, without the output."""
        names = (
            "check",
            "filtered",
            "proportions",
            "imputed",
            "domains",
            "statistics",
            "evaluation",
            "row",
            "attributions",
            "models",
            "markers",
        )
        return {name: getattr(self, name) for name in names}
