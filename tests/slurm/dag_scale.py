"""Time and memory to plan a run of many samples, beside a bare Snakefile of as many jobs, files and scripts.

python tests/slurm/dag_scale.py 10 100 1000 3000
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from run_folder import ROOT, SNAKEMAKE
from tissuemake.sheets import Reference, Sample

TARGET = "results/delivery/{sample}/manifest.json"
RULE = re.compile(r"^(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", re.MULTILINE)


def many_samples(folder: Path, samples: int) -> Path:
    """A run folder of so many samples, whose model of the spatial graph is given: nothing is trained."""
    (folder / "config").mkdir(parents=True)
    (folder / "model").mkdir()
    for name in ("model.safetensors", "config.json"):
        (folder / "model" / name).touch()
    (folder / "data.h5ad").touch()
    rows = [
        {"sample": f"s{i:04}", "assay": "h5ad", "path": "data.h5ad", "organism": "human"}
        for i in range(samples)
    ]
    for kind, content, name in ((Sample, rows, "samples"), (Reference, [], "references")):
        table = pd.DataFrame(content, columns=list(kind.__dataclass_fields__))
        table.to_csv(folder / "config" / f"{name}.tsv", sep="\t", index=False)
    config = {
        "deconvolution": {"methods": []},
        "imputation": {"methods": ["neighbors", "sagefm"]},
        "domains": {"embeddings": ["sagefm"]},
        "histology": {"encoders": ["color"]},
        "models": {"sagefm": {"weights": "model"}},
    }
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def bare_rules(run: Path) -> str:
    """A Snakefile of the rules that a sample of `run` needs, each with its files as plain patterns."""
    said = planned(run, ["s0000"], snakefile=ROOT / "Snakefile")[2]
    rules, seen = [], set()
    for name, body in RULE.findall(said):
        if name in seen:
            continue
        seen.add(name)
        fields = dict(re.findall(r"^    (input|output|log|benchmark): (.*)$", body, re.MULTILINE))
        lines = [f"rule {name}:"]
        for field, files in fields.items():
            patterns = [file.replace("s0000", "{sample}") for file in files.split(", ")]
            lines += [f"    {field}:", *(f"        {pattern!r}," for pattern in patterns)]
        lines += [
            "    resources:",
            "        mem_mb=1000,",
            "        runtime=30,",
            "    script:",
            '        "step.py"',
        ]
        rules.append("\n".join(lines))
    return "\n\n\n".join(rules) + "\n"


def planned(run: Path, samples: list[str], *, snakefile: Path) -> tuple[float, float, str]:
    """Processor seconds, peak MB and words of a dry run that delivers `samples`."""
    listed = run / "targets.txt"
    listed.write_text("\n".join(TARGET.format(sample=sample) for sample in samples))
    command = f"exec {SNAKEMAKE} --snakefile {snakefile} --directory {run} --dry-run --cores 1 "
    command += f"--workflow-profile none --nocolor -- $(cat {listed})"
    with subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as ran:
        said = ran.stdout.read()
        _, status, used = os.wait4(ran.pid, 0)
        ran.returncode = os.waitstatus_to_exitcode(status)
    assert ran.returncode == 0, said[-3000:]
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, said


def measure(samples: int) -> dict[str, float]:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        run = many_samples(Path(folder) / "run", samples)
        names = [f"s{i:04}" for i in range(samples)]
        bare = run / "Snakefile.bare"
        bare.write_text(bare_rules(run))
        (run / "step.py").touch()
        ours = planned(run, names, snakefile=ROOT / "Snakefile")
        theirs = planned(run, names, snakefile=bare)
    jobs = [int(re.search(r"^total +(\d+)", said, re.MULTILINE)[1]) for *_, said in (ours, theirs)]
    assert jobs[0] == jobs[1], jobs
    return {
        "samples": samples,
        "jobs": jobs[0],
        "seconds": round(ours[0], 1),
        "bare seconds": round(theirs[0], 1),
        "ratio": round(ours[0] / theirs[0], 2),
        "MB": round(ours[1]),
        "bare MB": round(theirs[1]),
    }


if __name__ == "__main__":
    for count in sys.argv[1:]:
        print(measure(int(count)), flush=True)
