"""The picture of the floors holds: imports only go down, and what ships says what the lock says."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tissuemake import sheets
from tissuemake.configuration import check_cohort, check_heads, check_models, complete_config, read_schema
from tissuemake.errors import InputError
from tissuemake.quality.thresholds import KNOWN

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "workflow" / "tissuemake"
STAGES = {
    "ingest",
    "quality",
    "histology",
    "reference",
    "domains",
    "evaluation",
    "reporting",
    "pathways",
    "intake",
}
FLOORS = {
    "simulate": 1,
    **dict.fromkeys(STAGES, 1),
    "cell_types": 2,
    "deconvolution": 2,
    "imputation": 2,
    "models": 2,
    "cli": 3,
}
# The check asks the readers what they see, so that all knowledge of a vendor's versions stands in one place.
ALLOWED = {("quality", "ingest"), ("intake", "ingest"), ("intake", "quality")}


def room(path: Path) -> str:
    """First part of a module's path below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("tissuemake.")}


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_imports_only_go_down():
    wrong = []
    for path in python_files():
        own = room(path)
        for other in imported_rooms(path) - {own, "__version__"}:
            ground = FLOORS.get(other, 0) == 0
            lower = FLOORS.get(other, 0) < FLOORS.get(own, 0)
            if not ground and not lower and (own, other) not in ALLOWED:
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert not wrong


def test_package_knows_no_snakemake():
    assert not [
        path for path in python_files() if re.search(r"\bimport snakemake|snakemake\.", path.read_text())
    ]


def test_modules_say_what_they_are_for_and_stay_short():
    for path in python_files():
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
        assert len(path.read_text().splitlines()) <= 350, f"{path} is too long"


@pytest.mark.parametrize("name", ["config", "samples", "references"])
def test_every_key_has_description_and_default(name):
    def walk(schema, prefix):
        for key, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{prefix}{key} has no description"
            assert "default" in part, f"{prefix}{key} has no default"
            assert part.get("type") != "object" or part.get("additionalProperties") is False
            walk(part, f"{prefix}{key}.")

    schema = read_schema(name)
    assert schema["additionalProperties"] is False
    walk(schema, "")


@pytest.mark.parametrize(("name", "row"), [("samples", sheets.Sample), ("references", sheets.Reference)])
def test_sheet_schema_is_the_row_type(name, row):
    schema = read_schema(name)
    assert list(schema["properties"]) == [column.name for column in fields(row)]
    if name == "samples":
        assert tuple(schema["properties"]["assay"]["enum"]) == sheets.ASSAYS
        assert tuple(schema["properties"]["bin_um"]["enum"]) == ("", *sheets.BINS)


def leaves(schema: dict, prefix: str = "") -> list[str]:
    """The dotted names of the keys that hold values."""
    if "properties" not in schema:
        return [prefix.removesuffix(".")]
    return [leaf for key, part in schema["properties"].items() for leaf in leaves(part, f"{prefix}{key}.")]


def test_config_readme_documents_every_key():
    text = (ROOT / "config" / "README.md").read_text()
    for name in ("samples", "references"):
        for key in read_schema(name)["properties"]:
            assert f"`{key}`" in text, key
    for key in leaves(read_schema("config")):
        assert f"`{key}`" in text, key


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ({"sample": "x"}, "unknown_key", "'samples'"),
        ({"deconvolution": {"method": ["nnls"]}}, "unknown_key", "'deconvolution.methods'"),
        ({"deconvolution": {"methods": ["nlns"]}}, "bad_value", "nnls_rescaled"),
        ({"seed": "one"}, "bad_value", "seed"),
        ({"filter": {"max_pct_mt": 120}}, "bad_value", "filter.max_pct_mt"),
        ({"models": {"sparank": {"preset": "huge"}}}, "bad_value", "models.sparank.preset"),
        ({"models": {"sprank": {}}}, "unknown_key", "'models.sparank'"),
        ({"models": {"sagefm": {"graph": "rigns"}}}, "bad_value", "models.sagefm.graph"),
        ({"models": {"sagefm": {"grpah": "rings"}}}, "unknown_key", "'models.sagefm.graph'"),
        ({"domains": {"embedding": ["sagefm"]}}, "unknown_key", "'domains.embeddings'"),
        ({"perturbation": {"pairs": "simulated://none/x"}}, "unknown_simulation", "perturbation.pairs"),
        ({"reference": {"aliases": 3}}, "bad_value", "reference.aliases"),
        ({"reference": {"orthologs": 3}}, "bad_value", "reference.orthologs"),
        ({"reference": {"orthologs": "https://example.org/o.csv#sha256=1"}}, "bad_hash", "64 hex"),
    ],
)
def test_wrong_config_is_refused_by_name(config, code, said):
    with pytest.raises(InputError) as caught:
        complete_config(config)
    assert caught.value.code == code
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("sparank", "code", "said"),
    [
        ({"reference": "atals"}, "unknown_reference", "Did you mean 'atlas'?"),
        ({"weights": "pretrian"}, "missing_weights", "Did you mean 'pretrain'?"),
        ({"weights": "/no/such/folder"}, "missing_weights", "models.sparank.weights is '/no/such/folder'"),
        ({"weights": "$NO_SUCH_PLACE/model/x"}, "missing_weights", "NO_SUCH_PLACE"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_anything_runs(sparank, code, said):
    with pytest.raises(InputError) as caught:
        check_models(complete_config({"models": {"sparank": sparank}})["models"], {"atlas", "other"})
    assert caught.value.code == code
    assert said in str(caught.value)


def test_images_need_samples_to_learn_from_only_where_a_model_is_made():
    for sparank, cohort in (
        ({"images": "color"}, ["a"]),
        ({}, []),
        ({"images": "color", "weights": "x/y"}, []),
    ):
        check_cohort(complete_config({"models": {"sparank": sparank}}), cohort)
    with pytest.raises(InputError, match=r"models\.sparank\.images is 'color'") as caught:
        check_cohort(complete_config({"models": {"sparank": {"images": "color"}}}), [])
    assert caught.value.code == "no_cohort"


def test_an_encoder_that_is_pretrained_needs_samples_to_learn_from():
    wanted = {"histology": {"encoders": ["color", "spafoundation"]}}
    given = {"models": {"spafoundation": {"weights": "a-lab/weights"}}}
    check_cohort(complete_config(wanted), ["a"])
    check_cohort(complete_config(wanted | given), [])
    with pytest.raises(InputError, match="'spafoundation'") as caught:
        check_cohort(complete_config(wanted), [])
    assert caught.value.code == "no_cohort"


@pytest.mark.parametrize(
    ("asking", "said"),
    [
        ({"imputation": {"methods": ["sagefm"]}}, r"imputation\.methods holds 'sagefm'"),
        ({"domains": {"embeddings": ["sagefm"]}}, r"domains\.embeddings holds 'sagefm'"),
        ({"perturbation": {"pairs": "liana"}}, r"perturbation\.pairs is 'liana'"),
    ],
)
def test_the_spatial_model_needs_samples_to_learn_from_where_something_asks_for_it(asking, said):
    given = {"models": {"sagefm": {"weights": "a-lab/weights"}}}
    check_cohort(complete_config({"models": {"sagefm": {"preset": "small"}}}), [])
    check_cohort(complete_config(asking), ["a"])
    check_cohort(complete_config(asking | given), [])
    with pytest.raises(InputError, match=said) as caught:
        check_cohort(complete_config(asking), [])
    assert caught.value.code == "no_cohort" and "H&E" not in caught.value.remedy


def test_published_checkpoints_are_weights_of_the_image_model_alone(tmp_path):
    (tmp_path / "vit.pth").write_bytes(b"")
    weights = {"weights": str(tmp_path / "vit.pth")}
    check_models(complete_config({"models": {"spafoundation": weights}})["models"], set())
    with pytest.raises(InputError, match="neither a folder"):
        check_models(complete_config({"models": {"sparank": weights}})["models"], set())


@pytest.mark.parametrize("key", ["weights", "heads"])
def test_folders_of_encoders_and_heads_must_be_there(key, tmp_path):
    check_heads(complete_config({"histology": {key: str(tmp_path)}})["histology"])
    with pytest.raises(InputError, match=rf"histology\.{key} is '/no/such'"):
        check_heads(complete_config({"histology": {key: "/no/such"}})["histology"])


def test_weights_may_be_pretrained_a_folder_or_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELS", str(tmp_path))
    for weights in ("pretrain", "$MODELS", "some-lab/sparank-breast", "some-lab/sparank@v1.0"):
        models = complete_config({"models": {"sparank": {"weights": weights, "reference": "atlas"}}})[
            "models"
        ]
        check_models(models, {"atlas"})
        assert "$" not in models["sparank"]["weights"]


def test_defaults_are_filled_in_at_every_depth():
    config = complete_config({"tiles": {"size_px": 64}})
    assert config["tiles"] | {"size_px": 64} == config["tiles"] and config["tiles"]["size_um"] == 112
    assert config["samples"] == "config/samples.tsv"


def test_filter_keys_are_the_thresholds_and_empty_ones_leave_the_choice_to_the_data():
    config = complete_config({"filter": {"local_outlier_mads": 0}})["filter"]
    assert set(config) == set(KNOWN)
    assert [name for name, value in config.items() if value is not None] == ["local_outlier_mads"]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_lock_holds_names_and_versions_only():
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.!+_-]+", line), line
        assert "+" not in line, line


# Optional peers pin packages of their own; what they share with the lock must still equal it.
PEERS = {"tangram.yaml", "cell2location.yaml"}


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_environments_are_the_lock(path):
    environment = yaml.safe_load(path.read_text())
    packages = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    lock = locked()
    for package in packages:
        name, version = re.fullmatch(r"([a-z0-9-]+) ?==([0-9a-z.]+)", package).groups()
        if path.name in PEERS and name not in lock:
            continue
        assert lock.get(name) == version, f"{package} is {lock.get(name)} in the lock"


def test_rules_name_an_environment_that_exists():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for name in re.findall(r'"\.\./\.\./(envs/[\w.]+)"', path.read_text()):
            assert (ROOT / name).is_file(), f"{path.name} names {name}"


def test_catalog_file_says_report():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert catalog["usage"]["report"] is True
    assert (ROOT / "workflow" / "Snakefile").is_file() and (ROOT / "config" / "README.md").is_file()
