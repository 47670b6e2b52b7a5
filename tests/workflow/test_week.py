"""A facility's week: what is dropped in is delivered once, by pinned models, and what is not is explained."""

import os
import re
import shutil
import signal
import subprocess
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import whole_folders
from dropped_sections import section
from models.sparank import tiny
from reporting.browser import chromium, console_errors, open_page
from run_folder import ROOT, SNAKEMAKE, snakemake
from small_disk import small_disk, used_kilobytes
from tissuemake.cli import app
from tissuemake.cli.runs import read_plan
from tissuemake.files import read_json, sha256
from tissuemake.models.sparank.pretrain import pretrain_sparank
from tissuemake.pins import config_lines
from tissuemake.planned import NEW, UP_TO_DATE
from tissuemake.reference.atlas import prepare_reference
from tissuemake.sheets import Reference

pytestmark = pytest.mark.workflow
BRIEF = replace(
    tiny.PRESET, schedule=replace(tiny.PRESET.schedule, steps=4, validate_every=2), genes=60, spots=12
)
CONFIG = """
deconvolution: {methods: [sparank]}
imputation: {methods: []}
histology: {encoders: []}
tiles: {grid: false}
"""
ROOMY = 400_000  # kB
SETTLE = 1.0
ROWS = (
    "return [...document.querySelectorAll('tr.pass, tr.fail')].map(row => [row.className, row.textContent])"
)
TRAINS = re.compile(r"rule (pretrain|fit|import)_\w+")


class Facility:
    """An inbox and a run folder, worked on by the commands that a person or cron would give."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.inbox, self.run, self.model = folder / "inbox", folder / "run", model
        self.inbox.mkdir(parents=True)
        (self.run / "config").mkdir(parents=True)
        (self.run / "config" / "references.tsv").write_text("reference\tpath\tlabel_key\torganism\n")
        pins = "\n".join(config_lines([model]))
        (self.run / "config" / "config.yaml").write_text(f"{CONFIG}{pins}\n")
        self.weights = sha256(model / "model.safetensors")
        self.files: dict[Path, tuple[int, str]] = {}

    def scan(self) -> str:
        return command("scan", self.inbox, "--run", self.run, "--settle", SETTLE)

    def work(self) -> list[str]:
        """Run to the end; return the samples that were delivered, earlier deliveries being what they were."""
        done = snakemake(self.run)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-6000:]
        assert not TRAINS.search(said)
        return self.deliveries(said)

    def deliveries(self, said: str) -> list[str]:
        found = {
            path: (path.stat().st_mtime_ns, sha256(path)) for path in self.run.glob("results/delivery/*/*")
        }
        assert self.files.items() <= found.items()
        self.files = found
        jobs = re.findall(r"rule deliver_sample:\n(?:    .*\n)*?    wildcards: sample=(\S+)", said)
        return sorted(jobs)

    @property
    def delivered(self) -> set[str]:
        return {path.parent.name for path in self.files if path.name == "manifest.json"}


def command(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def settle() -> None:
    time.sleep(SETTLE + 0.1)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    """Two tiny models, trained elsewhere."""
    folder = tmp_path_factory.mktemp("models")
    row = Reference(**whole_folders.atlas(folder / "atlas"))
    files = [folder / name for name in ("reference.h5ad", "signatures.parquet", "markers.parquet")]
    prepare_reference(row, *files)
    made = [folder / "liver", folder / "kidney"]
    for seed, model in enumerate(made):
        pretrain_sparank(files[0], files[2], model, seed=seed, checkpoints=folder / "kept", custom=BRIEF)
    return made


def monday(liver: Facility) -> None:
    for number in (1, 2, 3):
        section(liver.inbox / "monday" / f"liver-0{number}", number)
    settle()
    assert "3 taken" in liver.scan()
    assert liver.work() == ["liver-01", "liver-02", "liver-03"]


def tuesday(liver: Facility) -> None:
    for number in (4, 5):
        section(liver.inbox / "tuesday" / f"liver-0{number}", number)
    settle()
    matrix = section(liver.inbox / "tuesday" / "liver-06", 6) / "filtered_feature_bc_matrix.h5"
    matrix.write_bytes(matrix.read_bytes()[:5000])
    said = liver.scan()
    assert "2 taken, 1 waiting, 0 left out" in said and "just_arrived" in said
    _, rows, _ = read_plan(liver.run, [])
    why = {name: row.why for name, row in rows.items() if name}
    assert why == dict.fromkeys(liver.delivered, UP_TO_DATE) | {"liver-04": NEW, "liver-05": NEW}
    assert liver.work() == ["liver-04", "liver-05"]


def wednesday(liver: Facility) -> None:
    """The rest of a copy arrives; a matrix is cut short, a sample comes again, and one was sequenced again."""
    shutil.rmtree(liver.inbox / "tuesday" / "liver-06")
    section(liver.inbox / "tuesday" / "liver-06", 6)
    matrix = section(liver.inbox / "wednesday" / "liver-07", 7) / "filtered_feature_bc_matrix.h5"
    matrix.write_bytes(matrix.read_bytes()[:5000])
    shutil.copytree(liver.inbox / "monday" / "liver-02", liver.inbox / "wednesday" / "patient-x")
    section(liver.inbox / "wednesday" / "liver-01", 11, shift=7)
    settle()
    said = liver.scan()
    assert "2 taken, 0 waiting, 2 left out, 5 known" in said
    assert liver.work() == ["liver-01_2", "liver-06"]


def thursday(kidney: Facility) -> None:
    section(kidney.inbox / "kidney-01", 21)
    settle()
    assert "1 taken" in kidney.scan()
    assert kidney.work() == ["kidney-01"]


def friday(liver: Facility, resize) -> None:
    """The run is killed, then its disk is full; each time what was delivered stays, and the next run goes on."""
    section(liver.inbox / "friday" / "liver-08", 8)
    settle()
    assert "1 taken" in liver.scan()
    killed(liver, "liver-08")
    assert liver.deliveries("") == []
    if resize:
        resize(used_kilobytes(liver.run / "results") + 100)
        full = snakemake(liver.run)
        said = full.stdout + full.stderr
        assert full.returncode != 0
        assert "No space left on the device while writing" in said and "REMEDY Free space" in said
        assert "liver-08" not in {
            path.parent.name for path in liver.run.glob("results/delivery/*/manifest.json")
        }
        resize(ROOMY)
    else:
        warnings.warn("a disk of its own needs root: the full disk was left out", stacklevel=1)
    assert liver.work() == ["liver-08"]


def killed(liver: Facility, sample: str) -> None:
    words = [SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(liver.run), "--cores", "2"]
    running = subprocess.Popen(
        words, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log, deadline = liver.run / "logs" / "samples" / sample / "filtered.log", time.monotonic() + 300
    while not log.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert log.exists()
    assert snakemake(liver.run, "--unlock").returncode == 0


def check_deliveries(project: Facility, names: set[str]) -> None:
    """Every good sample once, whole, and by the model that was pinned, which is what it was."""
    folders = [project.run / "results" / "delivery" / name for name in sorted(names)]
    assert {path.name for path in folders[0].parent.iterdir()} == names == project.delivered
    assert command("verify", "--inputs", *folders).count("\tok\t") == len(names)
    assert sha256(project.model / "model.safetensors") == project.weights
    for folder in folders:
        manifest = read_json(folder / "manifest.json")
        assert manifest["models"]["sparank"]["weights_sha256"] == project.weights
        assert manifest["config"]["models"]["sparank"]["sha256"] == project.weights
    assert not (project.run / "results" / "models").exists()
    assert not list(project.run.rglob("*partial*"))


def check_report(project: Facility, profile: Path) -> None:
    """The page in a browser: a row for every sample, and for what was left out why."""
    page = project.run / "results" / "report" / "index.html"
    with chromium(profile) as driver:
        open_page(driver, page, (1280, 1500))
        assert not console_errors(driver)
        driver.save_screenshot(str(profile.parent / "week.png"))
        rows = driver.execute_script(ROWS)
    passed = [text for kind, text in rows if kind == "pass"]
    assert len(passed) == len(project.delivered)
    assert not [name for name in project.delivered if not any(name in text for text in passed)]
    failed = [text for kind, text in rows if kind == "fail"]
    left_out = read_json(project.run / "config" / "inbox.json")["inboxes"].values()
    reasons = {path: said for inbox in left_out for path, said in inbox["found"].items()}
    reasons = {path: said for path, said in reasons.items() if said["state"] == "left_out"}
    assert {path.split("/")[1] for path in reasons} == {"liver-07", "patient-x"}
    for path, said in reasons.items():
        assert any(path in text and said["message"] in text and said["remedy"] in text for text in failed)
    assert len(failed) == len(reasons)


def test_a_week(tmp_path, models):
    liver, kidney = Facility(tmp_path / "liver", models[0]), Facility(tmp_path / "kidney", models[1])
    with small_disk(liver.run / "results", ROOMY) as resize:
        monday(liver)
        tuesday(liver)
        wednesday(liver)
        thursday(kidney)
        friday(liver, resize)
        check_deliveries(liver, {*(f"liver-0{n}" for n in (1, 2, 3, 4, 5, 6, 8)), "liver-01_2"})
        check_deliveries(kidney, {"kidney-01"})
        assert not read_plan(liver.run, [])[0]
        check_report(liver, tmp_path / "profile")
