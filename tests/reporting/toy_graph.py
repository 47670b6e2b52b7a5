"""The toy tissue with what a spatial graph model says of it: numbers, genes, domains, labels, perturbed pairs."""

import anndata as ad
import numpy as np
import pandas as pd

from reporting.toy_tissue import CARD, Toy
from tissuemake import contracts, files

MODEL = "sagefm"
LABELS = ("Cortex <b>1</b>", "medulla")
WIDTH = 6


class GraphToy(Toy):
    """`Toy`, and the files of the model; the last spot has no label, the first five were seen by the probe."""

    def __init__(self, folder, **options) -> None:
        super().__init__(folder, **options)
        self.ran = {"method": MODEL, "device": "cpu", "seed": 1, "seconds": 1.5, "peak_memory_mb": 300.0}
        self._write_folder()
        self._write_spot_embeddings()
        self._write_imputed()
        self._write_annotation()
        self._write_perturbation()
        domains = contracts.read_table(self.domains, contracts.DOMAINS)
        domains[MODEL] = np.where(domains["pca"] == "1", "2", "1")
        contracts.write_table(domains, self.domains, contracts.DOMAINS, domains.attrs["tissuemake"])

    def _write_folder(self) -> None:
        folder = self._path(f"models/{MODEL}/config.json").parent
        files.write_json(
            {"kind": MODEL, "preset": "tiny", "architecture": {"graph": "rings"}}, folder / "config.json"
        )
        (folder / "model.safetensors").write_bytes(b"no weights here")
        (folder / "README.md").write_text(CARD.replace("sparank", MODEL))
        step = np.arange(10, 101, 10)
        curve = pd.DataFrame({"step": step, "train_loss": 1 / step, "valid_loss": 1.1 / step})
        curve["learning_rate"], curve["seconds"] = 1e-3, step * 0.2
        curve.to_parquet(folder / "training.parquet")
        self.models = {**self.models, MODEL: folder}

    def _write_spot_embeddings(self) -> None:
        self.vectors = self.rng.random((self.spots, WIDTH)).astype(np.float32)
        data = ad.AnnData(self.vectors, obs=pd.DataFrame(index=self.barcodes))
        data.obsm["spatial"] = self.xy
        data.uns["tissuemake"] = {**self.ran, "model": f"models/{MODEL}"}
        self.spot_embeddings = {MODEL: self._path(f"spot_embeddings/{MODEL}.h5ad")}
        contracts.write_anndata(data, self.spot_embeddings[MODEL], contracts.SPOT_EMBEDDINGS)

    def _write_imputed(self) -> None:
        data = contracts.read_anndata(self.imputed["neighbors"], contracts.IMPUTED)
        data.var[["held_out_r", "held_out_r_depth_adjusted"]] = np.nan
        data.uns["tissuemake"] = {**self.ran, "pretrained_on_this_donor": True}
        self.imputed[MODEL] = self._path(f"imputed/{MODEL}.h5ad")
        contracts.write_anndata(data, self.imputed[MODEL], contracts.IMPUTED)

    def _write_annotation(self) -> None:
        label = np.where(np.arange(self.spots) < self.spots // 3, *LABELS).astype(object)
        label[-1] = None
        table = pd.DataFrame({"label": label, "probability": 0.5 + self.rng.random(self.spots) / 2})
        table.index, table["seen"] = self.barcodes, np.arange(self.spots) < 5
        table.loc[self.barcodes[-1], "probability"] = np.nan
        self.annotation = {MODEL: self._path(f"annotation/{MODEL}.parquet")}
        contracts.write_table(table, self.annotation[MODEL], contracts.ANNOTATION, self.ran)

    def _write_perturbation(self) -> None:
        n = 20
        table = pd.DataFrame(
            {
                "ligand": [f"LIG{i}" for i in range(n)],
                "receptor": ["<i>REC</i>", *(f"REC{i}" for i in range(1, n))],
                "target": ["<i>REC</i>", "TARGET1", *(f"REC{i}" for i in range(2, n))],
                "effect": np.linspace(0.9, -0.1, n),
                "swapped_effect": 0.05,
                "random_effect": np.nan,
                "zscore": np.linspace(0.1, 9, n),
                "pvalue": np.linspace(0.9, 0.0, n) ** 2,
                "pvalue_fdr": np.linspace(0.9, 0.0, n),
                "direction": 0.5,
                "network_effect": 0.02,
                "network_swapped_effect": 0.01,
            }
        )
        self.perturbation = {MODEL: self._path(f"perturbation/{MODEL}.parquet")}
        contracts.write_table(table, self.perturbation[MODEL], contracts.PERTURBATION, self.ran)

    def report_inputs(self) -> dict:
        """Keyword arguments of `report_sample`, without the output."""
        names = ("spot_embeddings", "annotation", "perturbation")
        return {**super().report_inputs(), **{name: getattr(self, name) for name in names}}
