"""Start-up is told from work: imports inside functions count, and Snakemake's own time does."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from benchmarks.jobs_startup import HOOK, further, table


def test_imports_count_wherever_they_stand(tmp_path):
    script = tmp_path / "tmpabc.late.py"
    script.write_text("def late():\n    import pandas\nlate()\nsum(i * i for i in range(3_000_000))\n")
    lines = tmp_path / "lines"
    environment = {**os.environ, "PYTHONPATH": str(HOOK), "IMPORT_TIMES": str(lines)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True)
    found = pd.read_json(lines, lines=True)
    assert found["program"].tolist() == ["tmpabc.late.py"]
    assert 0.1 < found["imports"][0] < found["all"][0] - 0.1


def test_share_is_of_the_whole_run_and_snakemake_is_start_up():
    found = pd.DataFrame(
        {
            "program": ["tmpx1_.filter.py", "tmpy2.filter.py", "__main__.py"],
            "imports": [1.0, 1.0, 0.2],
            "all": [4.0, 4.0, 2.0],
        }
    )
    rows = table(found)
    assert rows.loc["filter", ["jobs", "imports", "seconds", "share"]].tolist() == [2, 2.0, 8.0, 0.25]
    assert rows.loc["whole run", "share"] == pytest.approx(0.4)


def test_a_further_sample_costs_what_the_second_run_has_beyond_the_first():
    one = pd.DataFrame(
        {
            "program": ["tmpx.filter.py", "tmpx.collect.py", "m.py"],
            "imports": [1.0, 1.0, 0.0],
            "all": [4.0, 2.0, 9.0],
        }
    )
    two = pd.concat([one.replace({"m.py": "n.py", 9.0: 10.0}), one[:1]])
    rows = further(table(one), table(two))
    assert "collect" not in rows.index
    assert rows.loc["filter", ["jobs", "imports", "seconds", "share"]].tolist() == [1, 1.0, 4.0, 0.25]
    assert rows.loc["whole run", ["imports", "seconds", "share"]].tolist() == [2.0, 5.0, 0.4]
