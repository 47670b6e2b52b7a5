"""A delivery can be looked at in Vitessce and Xenium Explorer, and served to one site and no other."""

import csv
import http.client
import threading

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tissuemake import files
from tissuemake.reporting.delivered_views import explorer_groups, how_to_open, write_views
from tissuemake.reporting.serve import byte_range, delivery_server
from tissuemake.reporting.spatialdata_zarr import MOST_SQUARES, are_circles
from tissuemake.reporting.vitessce import MOST_SETS, group_columns, set_colours, view_config

SAMPLE = "s"
SITE = "https://vitessce.io"


def sample(observation="spot", assay="visium", image=True, spots=3):
    obs = pd.DataFrame(
        {
            "total_counts": 1.0,
            "domain_spatial": pd.Categorical(["1", "2", None][:spots]),
            "dominant_type_nnls": pd.Categorical(["B, 'cell'", "T", "T"][:spots]),
            "in_tissue": True,
        },
        index=[f"abcd-{i}" for i in range(spots)],
    )
    adata = ad.AnnData(np.ones((spots, 4), np.float32), obs=obs)
    images = {"hires": np.zeros((2, 2, 3), np.uint8)} if image else {}
    adata.uns["spatial"] = {SAMPLE: {"images": images, "scalefactors": {"spot_diameter_fullres": 88.0}}}
    adata.uns["tissuemake"] = {"observation": observation, "assay": assay}
    return adata


def test_the_view_names_what_the_store_holds():
    config = view_config(SAMPLE, sample(), circles=True)
    [dataset] = config["datasets"]
    [file] = dataset["files"]
    assert file["url"] == "http://localhost:8000/s.spatialdata.zarr.zip"
    options = file["options"]
    assert options["image"] == {"path": "images/image"}
    assert options["obsSpots"]["path"] == "shapes/spots"
    assert [entry["path"] for entry in options["obsSets"]["obsSets"]] == [
        "tables/table/obs/dominant_type_nnls",
        "tables/table/obs/domain_spatial",
    ]
    assert 44.0 in config["coordinationSpace"]["spatialSpotRadius"].values()


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("circles", [True, False])
def test_scopes_of_the_views_are_all_defined(image, circles):
    config = view_config(SAMPLE, sample("bin", image=image), circles=circles)
    space = config["coordinationSpace"]
    for view in config["layout"]:
        for kind, scopes in view["coordinationScopes"].items():
            for scope in [scopes] if isinstance(scopes, str) else scopes:
                assert scope in space[kind], (view["component"], kind)
    for by in space["metaCoordinationScopesBy"].values():
        for kinds in by.values():
            for name, scopes in kinds.items():
                used = [
                    one
                    for scope in scopes.values()
                    for one in (scope if isinstance(scope, list) else [scope])
                ]
                assert all(scope in space[name] for scope in used)
    assert ("imageLayer" in space) is image
    assert ("spotLayer" in space) is circles
    assert ("segmentationChannel" in space) is not circles


def test_a_sample_without_groups_has_a_view():
    adata = sample()
    adata.obs = adata.obs[["total_counts"]]
    config = view_config(SAMPLE, adata, circles=True)
    assert "obsSets" not in config["datasets"][0]["files"][0]["options"]
    assert "obsSets" not in [view["component"] for view in config["layout"]]


def test_groups_are_few_and_the_telling_ones_first():
    obs = pd.DataFrame({f"domain_{i}": pd.Categorical(["1"]) for i in range(20)})
    obs["cell_type"], obs["total"] = pd.Categorical(["T"]), 1.0
    names = group_columns(obs)
    assert names[0] == "cell_type"
    assert len(names) == MOST_SETS


def test_a_type_has_one_colour_in_all_columns_and_all_are_apart():
    types = [f"type {i:02d}" for i in range(12)]
    obs = pd.DataFrame(
        {"dominant_type_a": pd.Categorical(types), "dominant_type_b": pd.Categorical(types[5:] * 2)[:12]}
    )
    colours = {tuple(entry["path"]): tuple(entry["color"]) for entry in set_colours(obs)}
    assert len({colours["dominant type a", name] for name in types}) == 12
    assert all(colours["dominant type b", name] == colours["dominant type a", name] for name in types[5:])


def test_circles_or_squares():
    assert are_circles(sample("cell"))
    assert not are_circles(sample("bin"))
    many = sample("bin")
    assert are_circles(ad.AnnData(np.zeros((MOST_SQUARES + 1, 0), np.float32), uns=many.uns))


def test_xenium_explorer_gets_groups_of_cells(tmp_path):
    adata = sample("cell", "xenium")
    written = {path.name for path in write_views(SAMPLE, adata, tmp_path)}
    assert written == {path.name for path in tmp_path.iterdir()}
    assert written == {
        "vitessce.json",
        "xenium_explorer_dominant_type_nnls.csv",
        "xenium_explorer_domain_spatial.csv",
    }
    with (tmp_path / "xenium_explorer_dominant_type_nnls.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows == [["cell_id", "group"], ["abcd-0", "B, 'cell'"], ["abcd-1", "T"], ["abcd-2", "T"]]
    assert len(explorer_groups(adata)["domain_spatial"]) == 2  # a cell without a domain is left out
    assert "xenium_explorer_dominant_type_nnls.csv" in how_to_open(SAMPLE, adata)["xenium explorer"]


def test_other_assays_have_no_bundle_to_open():
    assert explorer_groups(sample()) == {}
    assert "xenium explorer" not in how_to_open(SAMPLE, sample())


@pytest.fixture
def address(tmp_path):
    """A server of a small delivery; other files lie in and beside it."""
    folder = tmp_path / "delivery"
    folder.mkdir()
    (folder / "a.zip").write_bytes(bytes(range(100)))
    (folder / "private.txt").write_text("not of the delivery")
    (tmp_path / "secret.txt").write_text("no")
    (folder / "link.zip").symlink_to(tmp_path / "secret.txt")
    entries = [{"path": name, "sha256": "0"} for name in ("a.zip", "../secret.txt", "link.zip", "gone.zip")]
    files.write_json({"inputs": [], "outputs": entries}, folder / "manifest.json")
    server = delivery_server(folder, 0, SITE)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address
    server.shutdown()
    server.server_close()
    thread.join()


def ask(address, path, method="GET", **headers):
    connection = http.client.HTTPConnection(*address, timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_files_are_served_whole_and_in_parts(address):
    answer, body = ask(address, "/a.zip")
    assert (answer.status, body) == (200, bytes(range(100)))
    assert answer.headers["Accept-Ranges"] == "bytes"
    for asked, got, said in (
        ("bytes=10-19", bytes(range(10, 20)), "bytes 10-19/100"),
        ("bytes=-5", bytes(range(95, 100)), "bytes 95-99/100"),
        ("bytes=98-", bytes([98, 99]), "bytes 98-99/100"),
    ):
        answer, body = ask(address, "/a.zip", Range=asked)
        assert (answer.status, body, answer.headers["Content-Range"]) == (206, got, said)
    answer, body = ask(address, "/a.zip", "HEAD")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "100")
    assert ask(address, "/a.zip", Range="bytes=100-")[0].status == 416


def test_only_the_viewer_may_read_the_answers(address):
    assert address[0] == "127.0.0.1"
    for method in ("GET", "OPTIONS"):
        answer, _ = ask(address, "/a.zip", method, Origin="https://elsewhere.example")
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
    assert ask(address, "/a.zip", "POST")[0].status == 501


@pytest.mark.parametrize(
    "path",
    [
        "/private.txt",
        "/",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/link.zip",
        "/gone.zip",
        "//etc/hostname",
        "/a.zip/",
    ],
)
def test_nothing_else_is_served(address, path):
    answer, body = ask(address, path)
    assert (answer.status, body) == (404, b"")


@pytest.mark.parametrize(
    ("asked", "size", "part"),
    [(None, 9, (0, 8)), ("bytes=0-0", 9, (0, 0)), ("bytes=5-99", 9, (5, 8)), ("bytes=-99", 9, (0, 8)),
     ("bytes=-0", 9, None), ("bytes=-", 9, None), ("bytes=7-3", 9, None), ("bytes=0-1,3-4", 9, None),
     ("lines=0-1", 9, None), ("bytes=-1", 0, None)],
)  # fmt: skip
def test_parts_that_are_asked_for(asked, size, part):
    assert byte_range(asked, size) == part
