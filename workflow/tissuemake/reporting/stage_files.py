"""The files of a sample that its page and its delivery both take, by the method, encoder or model they are of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

# A file each, named after what it is of.
NAMED = (
    "proportions", "imputed", "attributions", "embeddings", "tumor", "highres", "spot_embeddings", "annotation",
    "perturbation", "pathways", "borders", "attention",
)  # fmt: skip
# Model → under which name a rule holds the files of its folder.
MODELS = {
    "sparank": "model",
    "spafoundation": "image_model",
    "sagefm": "spot_model",
    "quadflow": "pathway_model",
}


def stage_files(given: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Path] | Path | None]:
    """What `report_sample` and `deliver_sample` take by these names, from a rule's lists of files.

    ``models`` holds folders, of those models that have files; ``cell_types`` is one file or None.
    """
    return {
        **{name: {Path(path).stem: Path(path) for path in given[name]} for name in NAMED},
        "models": {model: Path(given[name][0]).parent for model, name in MODELS.items() if given[name]},
        "cell_types": next(map(Path, given["cell_types"]), None),
    }
