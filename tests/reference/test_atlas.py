"""An atlas in any form becomes a reference with counts, nested types, signatures and markers, or an error."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp

from tissuemake.contracts import MARKERS, REFERENCE, SIGNATURES, read_anndata, read_table
from tissuemake.errors import InputError
from tissuemake.reference.atlas import prepare, prepare_reference
from tissuemake.reference.counts import read_counts
from tissuemake.sheets import Reference


@pytest.fixture
def atlas():
    """90 cells of three types (30 each), 40 genes; type k is high in genes 10k to 10k+9."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(["B cell", "T cell", "fibroblast"], 30)
    means = np.full((90, 40), 0.4)
    for k in range(3):
        means[k * 30 : k * 30 + 30, k * 10 : k * 10 + 10] = 6
    obs = pd.DataFrame(
        {
            "kind": kinds,
            "family": np.where(kinds == "fibroblast", "stroma", "immune"),
            "patient": np.tile(["p1", "p2"], 45),
        },
        index=[f"cell{i}" for i in range(90)],
    )
    counts = sp.csr_matrix(rng.poisson(means).astype(np.float32))
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"GENE{i}" for i in range(40)]))


def row(path, **cells):
    return Reference(
        **{"reference": "toy", "path": str(path), "label_key": "kind", "organism": "human"} | cells
    )


def written(atlas, tmp_path, **cells):
    path = tmp_path / "atlas.h5ad"
    atlas.write_h5ad(path)
    return row(path, **cells)


def prepared(reference, **options):
    from tissuemake.reference.labels import join_labels

    atlas = read_counts(reference.path)
    if reference.labels:
        atlas = join_labels(atlas, reference.labels)
    return prepare(atlas, reference, **options)


def test_file_to_file_keeps_the_contracts(atlas, tmp_path):
    paths = [tmp_path / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    prepare_reference(written(atlas, tmp_path, label_key="family>kind"), *paths)
    reference = read_anndata(paths[0], REFERENCE)
    signatures, markers = read_table(paths[1], SIGNATURES), read_table(paths[2], MARKERS)
    assert list(signatures.index) == list(reference.var_names)
    assert list(signatures.columns) == ["B cell", "T cell", "fibroblast"]
    np.testing.assert_allclose(signatures.sum(), 1e4)
    best = markers[(markers["cell_type"] == "T cell") & (markers["rank"] <= 10)]["gene"]
    assert set(best) == {f"GENE{i}" for i in range(10, 20)}
    assert list(reference.uns["tissuemake"]["levels"]) == ["family", "cell_type"]
    assert reference.uns["hierarchy"].loc["fibroblast", "family"] == "stroma"
    assert set(reference.obs["donor"]) == {"p1", "p2"}
    depth = np.asarray(reference.X.sum(axis=1)).ravel()
    gene = reference.X[:, 3].toarray().ravel() / depth * 1e4
    assert reference.var["median_nonzero"].iloc[3] == pytest.approx(np.median(gene[gene > 0]), rel=1e-5)


@pytest.mark.parametrize("where", ["X", "raw.X", "layers['counts']", "layers['umi_matrix']"])
def test_counts_are_found_where_they_are(atlas, tmp_path, where):
    counts = atlas.X.copy()
    normalised = counts.copy()
    normalised.data = np.log1p(normalised.data * 1.7)
    if where == "raw.X":
        atlas.raw = atlas.copy()
    elif where.startswith("layers"):
        atlas.layers["scaled"] = normalised.toarray() - 1
        atlas.layers[where.split("'")[1]] = counts
    if where != "X":
        atlas.X = normalised
    found = read_counts(written(atlas, tmp_path).path)
    assert found.uns["counts_from"] == where
    assert (counts != found.X).nnz == 0


def test_normalised_values_are_refused(atlas, tmp_path):
    atlas.X.data = np.log1p(atlas.X.data)
    with pytest.raises(InputError, match=r"atlas\.h5ad holds no raw counts: looked in X") as caught:
        read_counts(written(atlas, tmp_path).path)
    assert caught.value.code == "reference_without_counts"


def test_the_processed_public_object_is_refused(data_dir, tmp_path):
    path = data_dir / "sc_reference/pbmc68k_reduced.h5ad"
    outputs = [tmp_path / name for name in ("r.h5ad", "s.parquet", "m.parquet")]
    with pytest.raises(InputError) as caught:
        prepare_reference(row(path, label_key="bulk_labels"), *outputs)
    assert caught.value.code == "reference_without_counts"
    assert not any(output.exists() for output in outputs)


def test_cellxgene_schema(data_dir):
    path = data_dir / "sc_reference/pancreas_smartseq2_500cells.h5ad"
    reference = prepared(row(path, label_key="cell_type"))
    assert "unknown" not in set(reference.obs["cell_type"])
    assert reference.uns["tissuemake"]["cells_without_type"] == 60
    assert list(reference.uns["dropped_types"].index) == ["mesenchymal cell"]  # nine cells
    assert reference.obs["donor"].nunique() == 8
    assert reference.var["gene_id"].str.startswith("ENSG").all()
    assert "SYS1" in reference.var_names  # the atlas's own index is Ensembl


def test_genes_in_rows_and_a_label_table(data_dir):
    folder = data_dir / "deconv_pairs/slideseq_rctd_vignette/reference"
    reference = prepared(row(folder / "dge.csv", label_key="cluster", labels=str(folder / "meta_data.csv")))
    assert reference.shape == (475, 384)
    assert reference.obs["cell_type"].nunique() == 19


@pytest.mark.parametrize("gzipped", [True, False])
def test_10x_folder_with_a_label_table(gzipped, atlas, tmp_path):
    folder = tmp_path / "filtered_feature_bc_matrix"
    folder.mkdir()
    scipy.io.mmwrite(folder / "matrix.mtx", atlas.X.T.astype(int))
    (folder / "barcodes.tsv").write_text("\n".join(atlas.obs_names) + "\n")
    features = [f"ENSG{i:011d}\t{name}\tGene Expression" for i, name in enumerate(atlas.var_names)]
    (folder / "features.tsv").write_text("\n".join(features) + "\n")
    for name in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
        if gzipped:
            _gzip(folder / name)
    atlas.obs[["kind"]].iloc[:80].to_csv(tmp_path / "labels.csv")
    reference = prepared(row(folder, labels=str(tmp_path / "labels.csv")))
    assert reference.n_obs == 80
    assert reference.uns["tissuemake"]["cells_without_type"] == 10
    assert reference.var["gene_id"].iloc[0] == "ENSG00000000000"


def _gzip(path):
    import gzip

    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def test_labels_that_do_not_belong(atlas, tmp_path):
    (tmp_path / "labels.tsv").write_text("barcode\tkind\nother1\tB cell\n")
    with pytest.raises(InputError, match="other1"):
        prepared(written(atlas, tmp_path, labels=str(tmp_path / "labels.tsv")))


def test_a_coarse_type_cannot_bear_the_name_of_another_column_of_proportions(atlas, tmp_path):
    atlas.obs["family"] = atlas.obs["family"].astype(str).replace("stroma", "gate")
    with pytest.raises(InputError, match=r"'family'.*'gate'") as caught:
        prepared(written(atlas, tmp_path, label_key="family>kind"))
    assert caught.value.code == "reserved_type"


def test_levels_are_made_to_nest(atlas, tmp_path, caplog):
    atlas.obs.loc["cell0", "family"] = "stroma"  # one B cell astray
    reference = prepared(written(atlas, tmp_path, label_key="family>kind"))
    assert set(reference.obs.loc[reference.obs["cell_type"] == "B cell", "family"]) == {"immune"}
    assert "1 cells of 'B cell'" in caplog.text


def test_cells_without_label_and_small_types_leave(atlas, tmp_path):
    atlas.obs["kind"] = atlas.obs["kind"].astype(object)
    atlas.obs.iloc[:5, 0] = np.nan
    atlas.obs.iloc[5:8, 0] = "Unknown"
    atlas.obs.iloc[8:12, 0] = "rare"
    reference = prepared(written(atlas, tmp_path), min_cells=10)
    assert reference.obs["cell_type"].value_counts().to_dict() == {
        "T cell": 30,
        "fibroblast": 30,
        "B cell": 18,
    }
    assert reference.uns["dropped_types"]["n_cells"].to_dict() == {"rare": 4}


@pytest.mark.parametrize("name", ["unknown", "Unknown", " UNKNOWN "])
def test_cells_called_unknown_are_no_type_that_could_collide_with_the_unknown_share(atlas, tmp_path, name):
    atlas.obs["kind"] = atlas.obs["kind"].replace("fibroblast", name)
    found = prepared(written(atlas, tmp_path))
    assert set(found.obs["cell_type"]) == {"B cell", "T cell"}
    assert found.uns["tissuemake"]["cells_without_type"] == 30


@pytest.mark.parametrize("name", ["gate", "B cell_sd", "unknown_sd"])
def test_a_type_named_like_another_column_of_proportions_is_refused(atlas, tmp_path, name):
    atlas.obs["kind"] = atlas.obs["kind"].replace("fibroblast", name)
    with pytest.raises(InputError) as caught:
        prepared(written(atlas, tmp_path))
    assert caught.value.code == "reserved_type" and f"'{name}'" in caught.value.message


def test_debris_leaves(atlas, tmp_path):
    atlas.X = sp.csr_matrix(atlas.X * 50)
    poor = atlas.X.toarray()
    poor[0] = 0
    poor[0, :2] = 1
    atlas.X = sp.csr_matrix(poor)
    reference = prepared(written(atlas, tmp_path))
    assert "cell0" not in reference.obs_names
    assert reference.n_obs == 89


@pytest.mark.parametrize(
    ("cells", "code", "says"),
    [
        ({"label_key": "kinds"}, "missing_label", "did you mean 'kind'"),
        ({"label_key": "constant"}, "one_cell_type", "gives 1 cell types"),
        ({"donor_key": "donnor"}, "missing_donor_key", "donnor"),
        ({"path": "/nowhere/atlas.h5ad"}, "missing_reference", "/nowhere/atlas.h5ad"),
    ],
)
def test_errors_say_what_to_mend(atlas, tmp_path, cells, code, says):
    atlas.obs["constant"] = "cell"
    reference = written(atlas, tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        prepared(Reference(**reference.as_dict() | cells))
    assert caught.value.code == code


def test_a_cut_file_is_an_error(atlas, tmp_path):
    reference = written(atlas, tmp_path)
    content = (tmp_path / "atlas.h5ad").read_bytes()
    (tmp_path / "atlas.h5ad").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as caught:
        read_counts(reference.path)
    assert caught.value.code == "unreadable_reference"


def test_orthologs_one_to_one_only(atlas, tmp_path):
    table = tmp_path / "orthologs.csv"
    pairs = [f"Gene{i},GENE{i}" for i in range(30)] + ["Gene30a,GENE30", "Gene30b,GENE30"]
    table.write_text("mouse,human\n" + "\n".join(pairs) + "\n")
    reference = written(atlas, tmp_path)
    carried = prepared(reference, organism="mouse", orthologs=table)
    assert set(carried.var_names) == {f"Gene{i}" for i in range(30)}
    with pytest.raises(InputError) as caught:
        prepared(reference, organism="mouse")
    assert caught.value.code == "orthologs_missing"


def test_slash_in_names_survives_the_file(atlas, tmp_path):
    atlas.obs["kind"] = atlas.obs["kind"].replace({"B cell": "L2/3 IT"})
    atlas.obs["a/b"] = atlas.obs["family"]
    paths = [tmp_path / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    prepare_reference(written(atlas.copy(), tmp_path, label_key="family>kind"), *paths)
    reference = read_anndata(paths[0], REFERENCE)
    assert reference.uns["hierarchy"].loc["L2/3 IT", "family"] == "immune"
