"""What the jobs of finished runs used beside what they asked for: a line per rule, a column per run.

python tests/slurm/rule_costs.py RUN... : run folders whose Snakemake, without a profile, wrote to RUN/run.log.
"""

import re
import sys
from pathlib import Path

import pandas as pd

BLOCK = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", re.MULTILINE)


def jobs(run: Path) -> pd.DataFrame:
    """Of each finished job: rule, benchmark, asked MB and minutes (last attempt), used MB and processor seconds."""
    rows = {}
    for rule, body in BLOCK.findall((run / "run.log").read_text()):
        kept = re.search(r"^    benchmark: (\S+)", body, re.MULTILINE)
        if not kept or not (run / kept[1]).is_file():
            continue
        asked = dict(re.findall(r"(mem_mb|runtime)=(\d+)", body))
        used = pd.read_csv(run / kept[1], sep="\t", na_values="-").iloc[0]
        rows[kept[1]] = {
            "rule": rule,
            "asked MB": int(asked["mem_mb"]),
            "asked minutes": int(asked["runtime"]),
            "MB": used["max_rss"],
            "CPU s": used["cpu_time"],
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def table(runs: list[Path]) -> pd.DataFrame:
    """Per rule and run the job that used most memory: what it used, of what it asked for."""
    columns, said = {}, "{MB:,.0f} of {asked MB:,.0f} MB, {CPU s:,.0f} s"
    for run in runs:
        found = jobs(run)
        worst = found.loc[found.groupby("rule")["MB"].idxmax()].set_index("rule")
        columns[run.name] = worst.apply(lambda line: said.format(**line), axis=1)
    return pd.DataFrame(columns).fillna("")


if __name__ == "__main__":
    print(table([Path(name) for name in sys.argv[1:]]).to_markdown())
