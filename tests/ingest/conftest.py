"""Small vendor folders in every layout the readers must know, with the truth they were written from."""

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from PIL import Image

GENE_IDS = [f"ENSG{i:011d}" for i in range(1, 9)]
GENES = ["ALPHA", "BETA", "GAMMA", "DELTA", "EPSILON", "ZETA", "ETA", "THETA"]


def write_h5(path: Path, counts: pd.DataFrame, features: pd.DataFrame, **attributes: str) -> None:
    """A 10x h5 matrix: `counts` with barcodes in rows, `features` with id, name, feature_type."""
    matrix = sp.csr_matrix(counts.to_numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        for key, value in attributes.items():
            handle.attrs[key] = value
        group = handle.create_group("matrix")
        group["data"] = matrix.data if matrix.data.dtype.kind == "f" else matrix.data.astype(np.int32)
        group["indices"], group["indptr"] = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
        group["shape"] = np.array(matrix.shape[::-1], dtype=np.int32)
        group["barcodes"] = counts.index.to_numpy().astype("S")
        for key in ("id", "name", "feature_type"):
            group[f"features/{key}"] = features[key].to_numpy().astype("S")
        group["features/genome"] = np.repeat(np.array(b"GRCh38"), len(features))


def write_mtx(folder: Path, counts: pd.DataFrame, features: pd.DataFrame, packed: bool = False) -> None:
    """A 10x mtx triple."""
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.mmwrite(folder / "matrix.mtx", sp.coo_matrix(counts.to_numpy().T))
    features[["id", "name", "feature_type"]].to_csv(
        folder / "features.tsv", sep="\t", header=False, index=False
    )
    pd.Series(counts.index).to_csv(folder / "barcodes.tsv", header=False, index=False)
    if packed:
        for path in list(folder.iterdir()):
            Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()


def _features(extra: str = "") -> pd.DataFrame:
    features = pd.DataFrame({"id": GENE_IDS, "name": GENES, "feature_type": "Gene Expression"})
    if extra:
        more = pd.DataFrame({"id": ["x1", "x2"], "name": ["CD3.1", "CD4.1"], "feature_type": extra})
        features = pd.concat([features, more], ignore_index=True)
    return features


class VisiumFolder:
    """A Space Ranger output of a 12 × 10 hexagonal lattice, 290 px pitch, with the tables it came from."""

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.root, self.rng = root, rng
        rows, cols = np.indices((12, 10))
        rows, cols = rows.ravel(), (2 * cols + rows % 2).ravel()
        barcodes = ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in rows]
        self.positions = pd.DataFrame(
            {
                "barcode": barcodes,
                "in_tissue": (rows > 3).astype(int),
                "array_row": rows,
                "array_col": cols,
                "pxl_row_in_fullres": np.rint(500 + rows * 290 * np.sqrt(0.75)).astype(int),
                "pxl_col_in_fullres": np.rint(700 + cols * 145).astype(int),
            }
        )
        self.features = _features()
        self.matrix = "h5"
        self.style = "csv"
        self.raw = False
        self.images = ("hires", "lowres")
        self.prefix = ""
        self.cytassist = False
        self.scalefactors = {
            "spot_diameter_fullres": 160.0,
            "tissue_hires_scalef": 0.1,
            "tissue_lowres_scalef": 0.03,
            "fiducial_diameter_fullres": 260.0,
        }

    def counts(self) -> pd.DataFrame:
        """Counts in an order of their own; filtered matrices hold the spots under tissue."""
        table = self.positions if self.raw else self.positions[self.positions["in_tissue"] == 1]
        barcodes = table["barcode"].sample(frac=1, random_state=0)
        values = np.random.default_rng(1).poisson(2.0, (len(barcodes), len(self.features)))
        return pd.DataFrame(values, index=barcodes, columns=self.features["id"])

    def write(self, counts: pd.DataFrame | None = None) -> Path:
        counts = self.counts() if counts is None else counts
        stem = self.root / f"{self.prefix}{'raw' if self.raw else 'filtered'}_feature_bc_matrix"
        if self.matrix == "h5":
            attributes = {"software_version": "spaceranger-3.1.2", "chemistry_description": "Visium V4 Slide"}
            write_h5(stem.with_name(stem.name + ".h5"), counts, self.features, **attributes)
        else:
            write_mtx(stem, counts, self.features, packed=self.matrix == "mtx.gz")
        self._write_spatial(self.root / "spatial")
        return self.root

    def _write_spatial(self, spatial: Path) -> None:
        spatial.mkdir(parents=True, exist_ok=True)
        if self.style == "csv":
            self.positions.to_csv(spatial / "tissue_positions.csv", index=False)
        elif self.style == "list":
            self.positions.to_csv(spatial / "tissue_positions_list.csv", index=False, header=False)
        elif self.style == "parquet":
            self.positions.to_parquet(spatial / "tissue_positions.parquet")
        (spatial / "scalefactors_json.json").write_text(json.dumps(self.scalefactors))
        for key in self.images:
            side = 360 if key == "hires" else 108
            picture = self.rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(picture).save(spatial / f"tissue_{key}_image.png")
        if self.cytassist:
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(spatial / "cytassist_image.tiff")


@pytest.fixture
def visium(tmp_path: Path) -> VisiumFolder:
    """A Space Ranger folder to be changed and written by the test."""
    return VisiumFolder(tmp_path / "outs", np.random.default_rng(0))


class XeniumBundle:
    """A Xenium bundle of 40 cells, ids and tables in the dress the test chooses."""

    def __init__(self, root: Path) -> None:
        rng = np.random.default_rng(3)
        self.root = root
        self.ids: list = [f"aaaa{chr(97 + i // 16)}{chr(97 + i % 16)}ab-1" for i in range(40)]
        self.um = rng.uniform(5, 95, (40, 2))
        controls = pd.DataFrame(
            {
                "id": ["NegControlProbe_1", "NegControlCodeword_1", "UnassignedCodeword_1"],
                "name": ["NegControlProbe_1", "NegControlCodeword_1", "UnassignedCodeword_1"],
                "feature_type": [
                    "Negative Control Probe",
                    "Negative Control Codeword",
                    "Unassigned Codeword",
                ],
            }
        )
        self.features = pd.concat([_features(), controls], ignore_index=True)
        self.values = rng.poisson(1.5, (40, len(self.features)))
        self.kind = "parquet"
        self.experiment: dict | None = None
        self.matrix = "h5"

    def counts(self) -> pd.DataFrame:
        names = [value.decode() if isinstance(value, bytes) else str(value) for value in self.ids]
        return pd.DataFrame(self.values, index=names, columns=self.features["id"])

    def cells(self) -> pd.DataFrame:
        """The cells table, in another order than the matrix."""
        cells = pd.DataFrame(
            {"cell_id": self.ids, "x_centroid": self.um[:, 0], "y_centroid": self.um[:, 1], "cell_area": 78.5}
        )
        return cells.iloc[::-1].reset_index(drop=True)

    def transcripts(self) -> pd.DataFrame:
        """A transcript per count at its cell's centroid, and some that must not count."""
        cell, feature = (
            np.repeat(index.ravel(), self.values.ravel()) for index in np.indices(self.values.shape)
        )
        table = pd.DataFrame(
            {
                "transcript_id": np.arange(len(cell)),
                "cell_id": np.array(self.ids, dtype=object)[cell],
                "feature_name": self.features["name"].to_numpy()[feature],
                "x_location": self.um[cell, 0],
                "y_location": self.um[cell, 1],
                "qv": 40.0,
            }
        )
        poor, loose = table.head(20).assign(qv=12.0), table.head(20).assign(cell_id="UNASSIGNED")
        return pd.concat([poor, table, loose], ignore_index=True)

    def write(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        if self.matrix == "h5":
            write_h5(self.root / "cell_feature_matrix.h5", self.counts(), self.features)
        elif self.matrix == "mtx.gz":
            write_mtx(self.root / "cell_feature_matrix", self.counts(), self.features, packed=True)
        self.write_table("cells", self.cells())
        if self.experiment is not None:
            (self.root / "experiment.xenium").write_text(json.dumps(self.experiment))
        return self.root

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        path = self.root / f"{name}.{self.kind.replace('+index', '')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.kind == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=self.kind.endswith("+index"))


@pytest.fixture
def xenium(tmp_path: Path) -> XeniumBundle:
    """A Xenium bundle to be changed and written by the test."""
    return XeniumBundle(tmp_path / "bundle")
