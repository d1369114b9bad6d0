"""The SLURM script, run by bash with SLURM's own commands played by stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")

# torchrun's part: says how it was called, then ends well, fails, or trains until it is told to stop and keeps a checkpoint
TORCHRUN = """#!{python}
import os, pathlib, signal, sys, time
here = pathlib.Path("{here}")
assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN  # or the launcher itself would die of it
(here / "called").write_text(" ".join(sys.argv[1:]))
if os.environ["PLAY"] == "train":
    def stop(*_):
        (here / "checkpoint").touch()
        sys.exit(1)
    signal.signal(signal.SIGUSR1, stop)
    (here / "pid").write_text(str(os.getpid()))
    time.sleep(30)
sys.exit(3 if os.environ["PLAY"] == "fail" else 0)
"""
STAND_INS = {
    "srun": 'export SLURM_NODEID=0; exec "$@"',
    "scancel": '[ "$1" = --signal=USR1 ] && kill -USR1 "$(cat {here}/pid)"',
    "scontrol": 'if [ "$1" = show ]; then echo node-a; else echo "$@" > {here}/requeued; fi',
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    for name, line in STAND_INS.items():
        (tmp_path / name).write_text("#!/bin/bash\n" + line.format(here=tmp_path) + "\n")
    (tmp_path / "torchrun").write_text(TORCHRUN.format(python=sys.executable, here=tmp_path))
    for name in (*STAND_INS, "torchrun"):
        (tmp_path / name).chmod(0o755)
    text = files("biocosmos.train").joinpath("templates/slurm_train.sh").read_text(encoding="utf-8")
    environment = next(line for line in text.splitlines() if line.startswith("source "))
    path = tmp_path / "train.sh"
    path.write_text(text.replace(environment, ""))
    return path


def submit(script: Path, play: str, **more: str) -> subprocess.Popen[str]:
    slurm = {"SLURM_JOB_ID": "12345", "SLURM_JOB_NODELIST": "node-[a-b]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "4"}
    environment = {**os.environ, **slurm, **more, "PLAY": play, "PATH": f"{script.parent}:{os.environ['PATH']}"}
    return subprocess.Popen(["bash", script], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_every_node_starts_a_process_for_each_gpu_and_meets_at_the_first(script: Path) -> None:
    job = submit(script, "finish")
    assert job.wait(20) == 0
    called = (script.parent / "called").read_text()
    assert "--nnodes 2 --node-rank 0 --master-addr node-a --master-port 32345 --nproc-per-node 4" in called
    assert "-m biocosmos train unicom /shared/plankton.cosmos --output /shared/runs/unicom-500" in called
    assert not (script.parent / "requeued").exists()


def test_a_failure_is_the_failure_of_the_job_and_does_not_come_back(script: Path) -> None:
    job = submit(script, "fail")
    assert job.wait(20) == 3
    assert not (script.parent / "requeued").exists()


@pytest.mark.parametrize("restarts", [0, 20])
def test_before_its_time_is_up_it_keeps_a_checkpoint_and_goes_back_into_the_queue(script: Path, restarts: int) -> None:
    job = submit(script, "train", SLURM_RESTART_COUNT=str(restarts))
    for _ in range(200):
        if (script.parent / "pid").exists() and (script.parent / "pid").read_text():
            break
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    output = job.communicate(timeout=20)[0]
    assert (script.parent / "checkpoint").exists(), output
    again = script.parent / "requeued"
    if restarts < 20:
        assert again.read_text().split() == ["requeue", "12345"]
        assert job.returncode == 0
    else:  # something keeps it from finishing: a person has to look
        assert not again.exists() and job.returncode == 1
        assert "not finished after 20 restarts" in output
