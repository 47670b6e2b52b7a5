"""What holds for every rule, read from the rules' text: no SLURM and no Snakemake needed."""

import re

import pytest
import yaml

from run_folder import ROOT
from tissuemake.histology.published_encoders import ENCODERS

START = re.compile(
    r"^ *(?:use rule (?P<base>\w+) as (?P<named>\w+) with|(?:rule|checkpoint) (?P<name>\w+)):$", re.MULTILINE
)


def rules() -> dict[str, str]:
    """The text of every rule; of one that is made from another, its own text before the other's."""
    own, bases = {}, {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        text = path.read_text()
        starts = list(START.finditer(text))
        ends = [*(match.start() for match in starts[1:]), len(text)][: len(starts)]
        for start, end in zip(starts, ends, strict=True):
            name = start["named"] or start["name"]
            own[name], bases[name] = text[start.end() : end], start["base"]

    def whole(name: str | None) -> str:
        return own[name] + whole(bases[name]) if name else ""

    return {name: whole(name) for name in own}


RULES = rules()
SUBMITTED = sorted(name for name, text in RULES.items() if "localrule: True" not in text)
WITH_GPU = sorted(name for name, text in RULES.items() if re.search(r"\bgpu=", text))
SLURM, GRES = (
    yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()) for name in ("slurm", "slurm-gres")
)


def test_what_trains_or_runs_large_networks_asks_for_a_gpu():
    assert {
        *(name for name in RULES if name.startswith("pretrain_")),
        *("embed_tiles", "embed_spafoundation", "deconvolve_sparank"),
        *("deconvolve_tangram", "deconvolve_cell2location"),
    } <= set(WITH_GPU)
    assert len([name for name in WITH_GPU if name.startswith("pretrain_")]) == 4


@pytest.mark.parametrize("name", WITH_GPU)
def test_a_rule_that_asks_for_a_gpu_gets_it_by_either_name_and_says_so_to_its_script(name):
    asked = GRES["set-resources"][name]
    assert asked["gpu"] == 0 and "gpu:1" in asked["gres"]
    script = re.search(r'"\.\./scripts/(\w+\.py)"', RULES[name])[1]
    assert "requested_gpus(snakemake.resources)" in (ROOT / "workflow" / "scripts" / script).read_text()
    # A group's other jobs would hold the GPU while they do not need it.
    assert name not in SLURM["groups"]


def test_the_profile_for_gres_asks_on_the_same_terms_as_the_rules():
    assert set(GRES["set-resources"]) == set(WITH_GPU)
    limit = re.search(r"LARGE_MB = (\d+)", (ROOT / "workflow" / "rules" / "sparank.smk").read_text())[1]
    for name in WITH_GPU:
        gres = GRES["set-resources"][name]["gres"]
        assert ("LARGE_MB" in RULES[name]) == (f"input.size_mb > {limit} " in gres), name
    assert [name for name, entry in ENCODERS.items() if not entry.millions] == ["color"]


@pytest.mark.parametrize("name", SUBMITTED)
def test_a_job_of_the_cluster_states_memory_time_and_environment(name):
    text = RULES[name]
    assert "mem_mb=" in text and "runtime=" in text and "conda:" in text and "log:" in text
    assert not re.search(r"\b(slurm_\w+|partition|account|gres|constraint|qos) *=", text)


@pytest.mark.parametrize("profile", ["default", "workstation", "slurm", "slurm-gres"])
def test_no_profile_wipes_what_a_site_sets_by_default(profile):
    keys = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text()).keys()
    assert not {"default-resources", "config", "configfile"} & set(keys)


def test_groups_name_rules_that_are_there():
    assert set(SLURM["groups"]) <= set(SUBMITTED)


def test_trainings_are_started_again_and_by_nothing_inside_their_job():
    """A Snakemake inside the job would do so with the memory that was too little."""
    for name in WITH_GPU:
        retried = re.search(r"^ *retries: (.*)$", RULES[name], re.MULTILINE)
        assert (retried and retried[1]) == ("TRAINING_RETRIES" if name.startswith("pretrain_") else None), (
            name
        )


def test_the_image_installs_what_the_lock_pins():
    text = (ROOT / "Dockerfile").read_text()
    assert "-r requirements.lock" in text and "--no-deps --editable ." in text
    copied = re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
    assert all((ROOT / name).exists() for line in copied for name in line.split())
