"""The page of a run that stopped: those that finished with their link, the others with what their log said."""

from reporting.toy_tissue import Toy
from tissuemake import files
from tissuemake.reporting.sample_page import report_sample
from tissuemake.reporting.unfinished import logged_error, report_unfinished


def test_finished_samples_are_linked_and_late_failures_say_why(tmp_path):
    results, logs = tmp_path / "results", tmp_path / "logs"
    done = Toy(results / "samples" / "zcells", image=False, observation="cell", spots=60)
    report_sample("zcells", **done.report_inputs(), output=results / "samples" / "zcells" / "report.html")
    late = {"sample": "late", "status": "warn", "findings": [], "facts": {}}
    files.write_json(late, results / "samples" / "late" / "check.json")
    (logs / "samples" / "late").mkdir(parents=True)
    said = "reading\nERROR [no_spots] No spot of <late> stays.\nREMEDY Lower min_genes.\n"
    (logs / "samples" / "late" / "filtered.log").write_text(said)
    (logs / "samples" / "late" / "check.log").write_text("")
    page = results / "report" / "unfinished.html"
    rows = {"zcells": done.row, "late": done.row, "not-checked-yet": done.row}
    report_unfinished(rows, {}, page, results=results, logs=logs)
    text = page.read_text()
    assert "../samples/zcells/report.html" in text
    assert "../samples/late/report.html" not in text
    assert "No spot of &lt;late&gt; stays." in text and "Lower min_genes." in text


def test_a_log_without_an_error_is_no_reason(tmp_path):
    (tmp_path / "a.log").write_text("all well\n")
    assert logged_error(tmp_path) is None
