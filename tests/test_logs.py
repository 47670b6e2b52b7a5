"""A job's log: begun anew by each job, shared by the processes of one training."""

import os
import subprocess
import sys

JOB = "from tissuemake.logs import logged\nwith logged({path!r}):\n    print({said!r})"


def job(path, said, **environment):
    code = JOB.format(path=str(path), said=said)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, **environment})


def test_a_new_job_begins_its_log_anew_and_a_process_of_it_appends(tmp_path):
    log = tmp_path / "deep" / "job.log"
    job(log, "an earlier attempt")
    job(log, "the first process")
    job(log, "the second process", LOCAL_RANK="1")
    assert log.read_text().split("\n") == ["the first process", "the second process", ""]
