"""Page and delivery take the files of a rule by what they are of."""

from pathlib import Path

from tissuemake.reporting.stage_files import MODELS, NAMED, stage_files


def given(**lists: list[str]) -> dict[str, list[str]]:
    return {name: [] for name in (*NAMED, *MODELS.values(), "cell_types")} | lists


def test_files_are_sorted_by_method_and_models_are_folders():
    found = stage_files(
        given(
            proportions=["s/nnls.parquet", "s/sparank.parquet"],
            spot_model=["m/sagefm/model.safetensors", "m/sagefm/config.json"],
            cell_types=["s/cell_types.parquet"],
        )
    )
    assert found["proportions"] == {"nnls": Path("s/nnls.parquet"), "sparank": Path("s/sparank.parquet")}
    assert found["models"] == {"sagefm": Path("m/sagefm")}
    assert found["cell_types"] == Path("s/cell_types.parquet") and found["tumor"] == {}


def test_a_sample_may_have_none_of_them():
    assert not any(stage_files(given()).values())
