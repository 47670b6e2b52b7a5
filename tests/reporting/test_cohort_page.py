"""The cohort page: a row per sample, failures with their remedy, links that lead somewhere."""

import pandas as pd
import pytest

from reporting.browser import DESKTOP, PHONE, chromium, console_errors, open_page, overflow, requested
from reporting.made_up_cohort import made_up_quality
from reporting.toy_tissue import SAMPLE, Toy
from tissuemake import contracts, files
from tissuemake.reporting import cohort_rows, pages
from tissuemake.reporting.cohort_page import read_evaluations, report_cohort
from tissuemake.reporting.quality_table import as_table, read_history, write_quality
from tissuemake.reporting.sample_page import report_sample

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory, toy):
    folder = tmp_path_factory.mktemp("run") / "results"
    plain = Toy(folder / "samples" / "zcells", image=False, observation="cell", spots=300)
    page = folder / "samples" / SAMPLE / "report.html"
    report_sample(SAMPLE, **toy.report_inputs(), output=page)
    report_sample(SAMPLE, **plain.report_inputs(), output=folder / "samples" / "zcells" / "report.html")
    finding = {
        "level": "fail",
        "code": "x",
        "message": "No positions <b>here</b>.",
        "remedy": "Put them back.",
    }
    bad = folder / "samples" / "bad" / "check.json"
    files.write_json({"sample": "bad", "status": "fail", "findings": [finding], "facts": {}}, bad)
    rejected = {"line-4": {**finding, "message": f"'{HOSTILE}' is no name.", "sample": HOSTILE}}
    benchmark = folder / "benchmarks" / "samples" / "zcells" / "domains.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\tmax_rss\n90.0\t512.0\n")
    past = folder / "past.tsv"
    write_quality(as_table(made_up_quality(40)), past)
    report_cohort(
        checks={SAMPLE: toy.check, "zcells": plain.check, "bad": bad},
        rejected=rejected,
        rows={SAMPLE: toy.row, "zcells": plain.row, "bad": toy.row},
        evaluations=[toy.evaluation, toy.evaluation],
        filtered={SAMPLE: toy.filtered, "zcells": plain.filtered},
        proportions={SAMPLE: toy.proportions},
        imputed={SAMPLE: toy.imputed},
        domains={SAMPLE: toy.domains, "zcells": plain.domains},
        output=folder / "report" / "index.html",
        quality=folder / "report" / "quality.tsv",
        multiqc=folder / "report" / "multiqc",
        benchmarks=folder / "benchmarks",
        history=[past],
    )
    return folder


def test_a_score_given_twice_counts_once(toy):
    once = len(read_evaluations([toy.evaluation]))
    assert len(read_evaluations([toy.evaluation, toy.evaluation])) == once > 0
    assert list(read_evaluations([]).columns) == list(contracts.EVALUATION.columns)


@pytest.mark.browser
def test_cohort_in_the_browser(results, tmp_path):
    page = results / "report" / "index.html"
    with chromium(tmp_path / "profile") as driver:
        for size in (DESKTOP, PHONE):
            open_page(driver, page, size)
            assert console_errors(driver) == []
            assert requested(driver) <= {"file", "data"}
            assert overflow(driver) <= 0
        open_page(driver, page)
        rows = driver.find_elements("css selector", "table.samples tbody tr")
        assert len(rows) == 4
        failed = [row for row in rows if row.get_attribute("class") == "fail"]
        assert {HOSTILE, "bad"} == {row.find_element("class name", "name").text for row in failed}
        assert all("Put them back." in row.text for row in failed)
        _links_resolve(driver, results)
        _sorts(driver)


def test_a_row_says_which_model_was_used_and_what_it_did_not_know(results, toy):
    table = contracts.read_table(toy.proportions["sparank"], contracts.PROPORTIONS)
    html = (results / "report" / "index.html").read_text()
    assert f"{pages.number(100 * table['unknown'].mean(), 2)}% unknown" in html
    assert "sparank-atlas" in html
    assert f"weights {files.sha256(toy.model / 'model.safetensors')[:12]}…" in html
    types = cohort_rows.models_used(
        {"nnls": contracts.read_table(toy.proportions["nnls"], contracts.PROPORTIONS)}
    )
    assert types == []


def test_the_quality_table_and_multiqc_say_what_the_page_says(results):
    table = read_history([results / "report" / "quality.tsv"]).set_index("sample")
    assert list(table.index) == [SAMPLE, "zcells", "bad", HOSTILE]
    assert list(table["status"]) == ["warn", "warn", "fail", "fail"]
    assert list(table["reason"]) == ["", "", "x", "x"] and table["kept"].notna().tolist() == [
        True,
        True,
        False,
        False,
    ]
    # Sixty spots of some hundred counts are nothing among sections of thousands.
    assert "counts " in table["outlier"][SAMPLE] and "below" in table["outlier"][SAMPLE]
    html = (results / "report" / "index.html").read_text()
    assert f'<span class="flag">{table["outlier"][SAMPLE].split("; ")[0]}</span>' in html
    assert 'href="quality.tsv"' in html
    assert len(list((results / "report" / "multiqc").glob("*_mqc.json"))) == 3


def test_time_and_memory_are_those_of_the_benchmarks_where_there_are_some(results):
    html = (results / "report" / "index.html").read_text()
    assert 'data-sample="zcells" aria-haspopup="dialog">1.5 min</button>' in html
    assert '<td class="wrapped">domains</td>' in html
    assert f'data-sample="{SAMPLE}"' not in html


def test_unknown_is_no_main_cell_type_and_shifts_no_colour():
    shares = pd.DataFrame({"A": [0.2, 0.1], "unknown": [0.7, 0.6], "B": [0.1, 0.3]}, index=["x", "y"])
    top, dominant = cohort_rows.dominant_types(shares)
    assert [name for name, _ in top] == ["B", "A"]
    assert list(dominant.cat.categories) == ["B", "A", "unknown"]


def _links_resolve(driver, results):
    links = {link.get_attribute("href") for link in driver.find_elements("css selector", "table.samples a")}
    wanted = {(results / "samples" / name / "report.html").resolve().as_uri() for name in (SAMPLE, "zcells")}
    assert links == wanted
    assert all((results / "samples" / link.split("/")[-2] / "report.html").is_file() for link in links)


def _sorts(driver):
    names = (
        "return [...document.querySelectorAll('table.samples tbody .name')].map((name) => name.textContent)"
    )
    kept = driver.find_element("xpath", "//table[contains(@class,'samples')]//button[text()='Kept']")
    kept.click()
    assert driver.execute_script(names)[:2] == [SAMPLE, "zcells"]
    kept.click()
    assert driver.execute_script(names)[:2] == ["zcells", SAMPLE]


def test_empty_cohort_is_a_page(tmp_path):
    output = tmp_path / "index.html"
    nothing = {
        name: {} for name in ("checks", "rejected", "rows", "filtered", "proportions", "imputed", "domains")
    }
    report_cohort(**nothing, evaluations=[], output=output)
    assert "has no samples" in output.read_text()
