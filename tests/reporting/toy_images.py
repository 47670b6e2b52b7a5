"""The toy tissue with what its image alone says: tiles, two encoders, tumour, predicted genes, a finer map."""

import anndata as ad
import numpy as np
import pandas as pd

from reporting.toy_tissue import HOSTILE_GENE, MODEL, Toy
from tissuemake import contracts, files
from tissuemake.histology.tile_store import write_tiles

OPEN, CLOSED = "color", "hibou<b>"
STEP_UM = 20.0
NOT_FREE = "CC-BY-NC-ND-4.0 <i>gated</i>"


class ImagedToy(Toy):
    """`Toy`, and the files of what was read off its image; the last two spots have no tile."""

    def __init__(self, folder, **options) -> None:
        super().__init__(folder, **options)
        left = (self.xy[:, 0] - self.xy[:, 0].min()) / np.ptp(self.xy[:, 0])
        self.probability = np.clip(left + self.rng.normal(0, 0.05, self.spots), 0, 1)
        self.probability[-2:] = np.nan
        self._write_tiles()
        self._write_embeddings()
        self._write_tumor()
        self._write_predicted()
        self._write_fine()
        self._write_spafoundation()
        self._write_image_domains()

    def _write_tiles(self) -> None:
        rows = self.spots - 2
        table = pd.DataFrame(
            {
                "kind": ["spot"] * rows + ["grid"] * 2,
                "tissue_fraction": [1.0] * (rows - 1) + [0.2, 0.9, 0.1],
                "focus": 1.0,
                "pen": [0.3] + [0.0] * (rows + 1),
                "fold": [0.0] * rows + [0.2, 0.1],
                "usable": [False, False, False] + [True] * (rows - 2) + [False],
            },
            index=[*self.barcodes[:rows], "g0_0", "g0_1"],
        )
        self.tiles = self._path("tiles.arrow")
        write_tiles(self.tiles, table, [np.full((8, 8, 3), 200, np.uint8)] * len(table))

    def _write_embeddings(self) -> None:
        self.embeddings = {}
        for encoder, record in (
            (OPEN, {}),
            (CLOSED, {"licence": NOT_FREE, "weights_sha256": "ab" * 32, "model": "lab/<u>net</u>"}),
        ):
            obs = pd.DataFrame(
                {"kind": "spot", "x": 0.0, "y": 0.0, "size_um": 112.0}, index=self.barcodes[:-2]
            )
            tiles = ad.AnnData(self.rng.random((self.spots - 2, 4)).astype(np.float32), obs=obs)
            tiles.uns["tissuemake"] = {"method": "embed_tiles", "encoder": encoder, "device": "cpu", **record}
            self.embeddings[encoder] = self._path(f"embeddings/{encoder[:5]}.h5ad")
            contracts.write_anndata(tiles, self.embeddings[encoder], contracts.EMBEDDINGS)

    def _write_tumor(self) -> None:
        self.tumor = {}
        for encoder in (OPEN, CLOSED):
            table = pd.DataFrame({"probability": self.probability, "seen": False}, index=self.barcodes)
            table.loc[self.barcodes[:3], "seen"] = encoder == CLOSED
            record = {
                "method": "tumor", "encoder": encoder, "device": "cpu", "seconds": 0.5, "peak_memory_mb": 300.0,
                "tumor_labels": ["invasive <b>cancer</b>"], "heads": ["without donor <s>d1</s>"],
            }  # fmt: skip
            self.tumor[encoder] = self._path(f"tumor/{encoder[:5]}.parquet")
            contracts.write_table(table, self.tumor[encoder], contracts.TUMOR, record)

    def _write_predicted(self) -> None:
        filtered = contracts.read_anndata(self.filtered, contracts.FILTERED)
        values = 0.3 * filtered.X.toarray()[:, :25] + 0.2
        values[-2:] = np.nan
        var = pd.DataFrame({"gene_id": "", "measured": True}, index=self.genes[:25])
        var["held_out_r"] = np.linspace(0.6, 0.1, 25)
        var["held_out_r_depth_adjusted"] = var["held_out_r"] - 0.15
        data = ad.AnnData(values.astype(np.float32), obs=pd.DataFrame(index=self.barcodes), var=var)
        data.uns["tissuemake"] = {
            "method": "expression", "encoder": OPEN, "device": "cpu", "seconds": 0.2, "peak_memory_mb": 200.0,
        }  # fmt: skip
        data.uns["tissuemake"] |= {"head": "without donor <s>d1</s>", "head_saw_donor": False}
        self.imputed[OPEN] = self._path(f"imputed/{OPEN}.h5ad")
        contracts.write_anndata(data, self.imputed[OPEN], contracts.IMPUTED)

    def _write_fine(self) -> None:
        """Squares of 20 µm all over the tissue; a wave from left to right that no spot could show."""
        step = STEP_UM / 0.625
        low, high = self.xy.min(0) - 40, self.xy.max(0) + 40
        x, y = (
            grid.ravel()
            for grid in np.meshgrid(*(np.arange(a, b, step) for a, b in zip(low, high, strict=True)))
        )
        away = np.hypot(x[:, None] - self.xy[:, 0], y[:, None] - self.xy[:, 1])
        spot = np.where(away.min(1) <= 44, np.array(self.barcodes)[away.argmin(1)], "")
        obs = pd.DataFrame({"x": x, "y": y, "spot": spot, "step_um": STEP_UM})
        obs.index = [f"p{i}" for i in range(len(obs))]
        names = [HOSTILE_GENE, "GENE3", "GENE48"]
        wave = 2 + np.sin(x / 60)
        values = np.column_stack([wave, wave[::-1], np.full(len(x), 1.0)]).astype(np.float32)
        fine = ad.AnnData(values, obs=obs, var=pd.DataFrame({"gene_id": ""}, index=names))
        fine.obsm["spatial"] = np.column_stack([x, y])
        fine.uns["tissuemake"] = {
            "method": "highres", "encoder": OPEN, "device": "cpu", "conservation_error": 2e-7,
        }  # fmt: skip
        self.highres = {OPEN: self._path(f"highres/{OPEN}.h5ad")}
        contracts.write_anndata(fine, self.highres[OPEN], contracts.HIGHRES)

    def _write_spafoundation(self) -> None:
        folder = self._path("models/spafoundation/config.json").parent
        files.write_json({**MODEL, "kind": "spafoundation"}, folder / "config.json")
        (folder / "model.safetensors").write_bytes(b"no weights either")
        step = np.arange(10, 301, 10)
        curve = pd.DataFrame(
            {"step": step, "train_loss": 6 * np.exp(-step / 90), "valid_loss": 7 * np.exp(-step / 95)}
        )
        curve["learning_rate"], curve["seconds"] = 1e-3, step * 0.2
        curve["teacher_entropy"] = 6.2 - step / 150
        curve["prototype_entropy"] = 6.2 - step / 1500
        curve["feature_sd"] = 0.02 + step / 10_000
        curve["effective_rank"] = 3.0 + np.log(step)
        curve.to_parquet(folder / "training.parquet")
        self.models = {**self.models, "spafoundation": folder}

    def _write_image_domains(self) -> None:
        table = contracts.read_table(self.domains, contracts.DOMAINS)
        record = table.attrs["tissuemake"]
        for column in (OPEN, f"{OPEN}+expression"):
            table[column] = table["pca"].to_numpy()
            table.loc[self.barcodes[-2:], column] = None
        contracts.write_table(table, self.domains, contracts.DOMAINS, record)

    def report_inputs(self) -> dict:
        """Keyword arguments of `report_sample`, without the output."""
        names = ("tiles", "embeddings", "tumor", "highres")
        return {**super().report_inputs(), **{name: getattr(self, name) for name in names}}
