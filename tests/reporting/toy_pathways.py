"""The toy tissue with pathways: measured and as a model says, a border, and what the model looked at."""

import numpy as np
import pandas as pd

from reporting.toy_tissue import Toy
from tissuemake import contracts

SETS = ("HALLMARK_HYPOXIA", "Own/set <b>2</b>", "HALLMARK_E2F_TARGETS")
MODEL = "quadflow"
OWNER = "Hallmark gene sets of somebody & others, under CC BY 4.0"


class PathwayToy(Toy):
    """`Toy`, and pathway files; the last spot has no tile."""

    def __init__(self, folder, *, seen: bool = False, **options) -> None:
        super().__init__(folder, **options)
        values = pd.DataFrame(self.rng.normal(size=(self.spots, 3)), index=self.barcodes, columns=list(SETS))
        record = {
            "method": "zscore",
            "depth": "corrected",
            "device": "cpu",
            "seconds": 0.5,
            "library": "h.all.gmt",
            "licence": "CC BY 4.0",
            "attribution": OWNER,
            "scaled_by": ["one", "two"],
            "depth_r": dict(zip(SETS, (0.02, -0.04, 0.0), strict=True)),
            "genes": dict(zip(SETS, (50, 12, 30), strict=True)),
            "left_out": ["TINY"],
        }
        said = values * 0.5 + self.rng.normal(size=values.shape) * 0.1
        said.iloc[-1] = np.nan
        ran = {"method": MODEL, "encoder": "color", "device": "cpu", "pretrained_on_this_donor": seen}
        self.values, self.said = values.astype(np.float32), said.astype(np.float32)
        self.pathways = {name: self._path(f"pathways/{name}.parquet") for name in ("measured", MODEL)}
        contracts.write_table(self.values, self.pathways["measured"], contracts.PATHWAYS, record)
        contracts.write_table(self.said, self.pathways[MODEL], contracts.PATHWAYS, ran)
        self.borders = {name: self._path(f"borders/{name}.parquet") for name in self.pathways}
        for path in self.borders.values():
            contracts.write_table(border(), path, contracts.PATHWAY_BORDER, {"method": "pathway_border"})
        self.attention = {MODEL: self._path(f"attention/{MODEL}.parquet")}
        contracts.write_table(attention(), self.attention[MODEL], contracts.PATHWAY_ATTENTION, ran)

    def report_inputs(self) -> dict:
        """Keyword arguments of `report_sample`, without the output."""
        names = ("pathways", "borders", "attention")
        return {**super().report_inputs(), **{name: getattr(self, name) for name in names}}


def border() -> pd.DataFrame:
    """The first set rises at the border, the others do not."""
    at = np.arange(-250.0, 251, 100)
    parts = []
    for number, name in enumerate(SETS):
        mean = np.exp(-((at / 100) ** 2)) * (number == 0)
        parts.append(
            pd.DataFrame(
                {
                    "pathway": name,
                    "from_um": at - 50,
                    "to_um": at + 50,
                    "distance_um": at,
                    "mean": mean,
                    "low": mean - 0.1,
                    "high": mean + 0.1,
                    "spots": 9,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def attention() -> pd.DataFrame:
    """Every pathway listens to the first one, and reads the tile of spot 0."""
    rows = [("pathway", a, b, 2.0 if b == SETS[0] else 0.5, 1) for a in SETS for b in SETS]
    rows += [("patch", a, "tile <i>0</i>", 3.5, 1) for a in SETS] + [
        ("signature", a, "tile 1", 1.0, 1) for a in SETS
    ]
    return pd.DataFrame(rows, columns=["kind", "pathway", "other", "weight", "rank"])
