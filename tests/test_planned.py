"""Snakemake's reasons in words, gathered by sample."""

from tissuemake.planned import FAILED, NEW, UP_TO_DATE, Job, plan_rows, plan_text

PARAMS = (
    "Params have changed since last execution: Union of exclusive params before and now across all output: "
)


def job(rule: str, reason: str, **wildcards: str) -> Job:
    return Job(rule, wildcards, reason)


def causes(reason: str) -> list[str]:
    return job("filter_spots", reason, sample="a").causes()


def test_reasons_are_told_in_words():
    assert causes("Missing output files: x, y") == ["not made yet"]
    assert causes("Updated input files: outs") == ["input changed: outs"]
    assert causes("Input files updated by another job: x, y") == []
    assert causes("Code has changed since last execution") == ["the workflow's code changed"]
    both = "Input files updated by another job: x; Set of input files has changed since last execution"
    assert causes(both) == ["asks for other files than before"]


def test_changed_parameters_are_named_where_they_have_names():
    tables = "before: {'max_counts': None, 'min_genes': 3} now: {'max_counts': 500, 'min_genes': 3} "
    assert causes(PARAMS + tables) == ["parameter changed: max_counts None → 500"]
    assert causes(f"{PARAMS}before: 'tiny' now: 'small' ") == ["parameter changed: 'tiny' → 'small'"]
    assert causes(f"{PARAMS}before: <nothing exclusive> now: 7 ") == ["parameter changed: now 7"]
    written = "before: 'a.h5 written 2026-01-05T10:00' now: 'b.csv written 2026-01-06T10:00' "
    assert causes(PARAMS + written)[0].startswith("input changed: 'a.h5 written")


JOBS = [
    job("check_sample", "Missing output files: c", sample="new"),
    job("filter_spots", "Updated input files: outs", sample="old"),
    job("deconvolve_spots", "Input files updated by another job: f", sample="old", method="nnls"),
    job("pretrain_sparank", f"{PARAMS}before: 'tiny' now: 'small' ", reference="atlas"),
    job("check_sample", "Updated input files: other", sample="mended"),
    job("report_cohort", "Input files updated by another job: i"),
]
KNOWN = {"old": "", "idle": "", "bad": "No spots. Remedy: Copy it again.", "mended": "No image. Remedy: …"}


def test_rows_say_of_every_sample_what_runs_and_why():
    rows = plan_rows(JOBS, ["old", "idle", "bad", "mended", "new"], KNOWN)
    assert rows["old"].stages == ["filter_spots", "deconvolve_spots nnls"]
    assert rows["old"].why == "input changed: outs (filter_spots)"
    assert (rows["idle"].why, rows["new"].why) == (UP_TO_DATE, NEW)
    assert rows["bad"].why == f"{FAILED}: No spots. Remedy: Copy it again."
    assert rows["mended"].why == f"{FAILED}, and is checked again: input changed: other (check_sample)"
    assert rows[""].stages == ["pretrain_sparank atlas", "report_cohort"]


def test_trainings_stand_first_and_samples_alike_stand_together():
    idle = [f"s{i}" for i in range(1000)]
    known = KNOWN | dict.fromkeys(idle, "")
    rows = plan_rows(JOBS, ["old", *idle], known)
    text = plan_text("RUN", rows, JOBS, {"line-4": "no path"})
    assert text.splitlines()[1] == "!! TRAINS pretrain_sparank atlas: parameter changed: 'tiny' → 'small'"
    assert "\ns0, s1, s2, s3, s4, s5 and 994 more: up to date\n" in text
    assert "\nline-4: its row of the sheet is refused: no path" in text
    assert "check_sample 2" in text
    assert "No model is trained" in plan_text("RUN", plan_rows([], idle, known), [], {})
