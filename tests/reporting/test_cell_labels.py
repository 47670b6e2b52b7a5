"""One type for each cell, and whom to trust on pseudo-spots, stand on the page and in the delivery."""

import anndata as ad
import pandas as pd
import pytest

from reporting.browser import DESKTOP, PHONE, choose, console_errors, open_page, overflow, painted
from reporting.toy_tissue import SAMPLE, TYPES, Toy
from tissuemake import contracts, files
from tissuemake.contracts import UNKNOWN
from tissuemake.reporting.cell_labels import LABELS, SURE_OF, cell_type_groups, cell_types_section
from tissuemake.reporting.delivery import deliver_sample
from tissuemake.reporting.sample_page import report_sample

METHODS = ("transfer", "sparank")


class CellToy(Toy):
    """The toy as cells, labelled by two methods of which the second doubts more, scored on pseudo-spots."""

    def __init__(self, folder) -> None:
        super().__init__(folder, observation="cell")
        guess = pd.Series([TYPES[i % len(TYPES)] for i in range(self.spots)], self.barcodes)
        table = pd.DataFrame(
            {"cell_type": guess, "confidence": 0.9, "method": "transfer"}, index=self.barcodes
        )
        table["cell_ontology_id"] = ["CL:0000236" if name == "B cell" else "" for name in guess]
        table["cell_ontology_name"] = ["B cell" if name == "B cell" else "" for name in guess]
        for method, doubted in zip(METHODS, (3, 30), strict=True):
            table[f"cell_type_{method}"] = [UNKNOWN if i < doubted else name for i, name in enumerate(guess)]
            table[f"confidence_{method}"] = [0.1 if i < doubted else 0.9 for i in range(self.spots)]
            table[f"guess_{method}"] = guess
        table["cell_type"] = table["cell_type_transfer"]
        self.cell_types = self._path("cell_types.parquet")
        contracts.write_table(
            table, self.cell_types, contracts.CELL_TYPES, {"method": "cell_types", "sure": 0.5}
        )
        rows = [
            (name, metric, value, name == "uniform", panel)
            for panel in (1.0, 0.5)
            for name, r, error in (
                ("nnls", 0.8 * panel, 0.1),
                ("<b>worse</b>", 0.2, 0.2),
                ("uniform", 0.0, 0.3),
            )
            for metric, value in (
                ("pearson", r),
                ("rmse", error),
                ("spots", 25.0),
                ("pearson_low", r - 0.1),
                ("pearson_high", r + 0.1),
            )
        ]
        scores = pd.DataFrame(rows, columns=["method", "metric", "value", "baseline", "panel"])
        scores = scores.assign(
            sample=SAMPLE, task="pseudo_spots", lattice="hexagonal", seconds=1.0, peak_memory_mb=1.0
        )
        self.pseudo_spots = self._path("pseudo_spots.parquet")
        contracts.write_table(scores, self.pseudo_spots, contracts.EVALUATION, {"truth": "labels"})


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> CellToy:
    return CellToy(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def cells_page(cells, tmp_path_factory):
    output = tmp_path_factory.mktemp("cells-page") / "report.html"
    given = {"cell_types": cells.cell_types, "pseudo_spots": cells.pseudo_spots}
    report_sample(SAMPLE, **cells.report_inputs(), **given, output=output)
    return output


def test_labels_are_counted_with_their_terms_and_the_unknown_told(cells):
    table = contracts.read_table(cells.cell_types, contracts.CELL_TYPES)
    first, second = cell_types_section(table, "cell")
    assert {row["label"]: row["cells"] for row in first["rows"]}["B cell"] == 12
    assert {row["label"]: row["term"] for row in first["rows"]} == {
        name: "CL:0000236" if name == "B cell" else "" for name in TYPES
    }
    assert (first["unknown"], second["unknown"]) == (3, 30) and second["share"] == 0.5
    assert cell_types_section(None, "cell") == [] and cell_type_groups(None, table.index) == []


def test_a_type_has_the_colour_of_its_share_and_unknown_is_last(cells):
    table = contracts.read_table(cells.cell_types, contracts.CELL_TYPES)
    labels, sure = cell_type_groups(table, table.index, {"B cell": "#123456"})
    layer = labels.layers[0]
    assert dict(zip(layer.categories, layer.colours, strict=True))["B cell"] == "#123456"
    assert layer.categories[-1] == UNKNOWN and [own.label for own in sure.layers] == list(METHODS)


@pytest.mark.browser
def test_the_page_shows_cells_first_and_whom_to_trust(driver, cells_page):
    for size in (DESKTOP, PHONE):
        open_page(driver, cells_page, size)
        assert console_errors(driver) == [] and overflow(driver) <= 0
    open_page(driver, cells_page)
    assert driver.find_element("css selector", "#colour-group option:checked").text == LABELS
    before = painted(driver)
    choose(driver, SURE_OF, "sparank")
    assert painted(driver) != before
    said = driver.find_element("id", "pseudo-spots").text
    assert "With 100% of the panel trust nnls (r 0.80" in said and "<b>worse</b>" in said
    assert "No truth is given" in said
    assert "30 cells (50.0%) are unknown" in driver.find_element("id", "cell-types").text


def test_the_delivery_holds_types_terms_and_confidence(cells, cells_page, tmp_path):
    (tmp_path / "cell_types.parquet").write_bytes(b"of an older run")
    deliver_sample(
        SAMPLE,
        filtered=cells.filtered,
        proportions={},
        imputed={},
        domains=cells.domains,
        report=cells_page,
        check=cells.check,
        row=cells.row,
        config={},
        inputs=[],
        output=tmp_path,
        cell_types=cells.cell_types,
    )
    obs = ad.read_h5ad(tmp_path / f"{SAMPLE}.h5ad").obs
    assert obs["cell_type"].value_counts()[UNKNOWN] == 3
    assert set(obs.loc[obs["cell_type"] == "B cell", "cell_ontology_id"]) == {"CL:0000236"}
    assert obs["cell_type_confidence"].max() == pytest.approx(0.9)
    manifest = files.read_json(tmp_path / "manifest.json")
    assert "cell_types.parquet" in {entry["path"] for entry in manifest["outputs"]}
    assert str(cells.cell_types) in {entry["path"] for entry in manifest["intermediate"]}
    assert "cell types" in manifest["steps"]
