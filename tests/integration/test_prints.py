"""What a stage prints last is seen before the run is over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

# Ray's log monitor is held for 0.4 s from before the last word on, as on a machine that is busy.
SCRIPT = """
import os, sys, threading, time
import psutil, ray
from curator_executor import ProcessingStage, XennaExecutor

FOLDER = sys.argv[1]

class Says(ProcessingStage):
    name = "says"

    def process(self, task):
        open(FOLDER + "/begun", "w").close()
        while not os.path.exists(FOLDER + "/held"):
            time.sleep(0.01)
        print("the last word", flush=True)
        return task

def hold_log_monitor():
    while not os.path.exists(FOLDER + "/begun"):
        time.sleep(0.01)
    (monitor,) = [
        each
        for each in psutil.process_iter(["cmdline", "environ"])
        if any("log_monitor" in part for part in each.info["cmdline"] or [])
        and session in str(each.info["cmdline"])
    ]
    monitor.suspend()
    open(FOLDER + "/held", "w").close()
    time.sleep(0.4)
    monitor.resume()

if __name__ == "__main__":
    context = ray.init(num_cpus=1, include_dashboard=False)
    session = os.path.basename(context.address_info["session_dir"])
    threading.Thread(target=hold_log_monitor).start()
    XennaExecutor().execute([Says()], None)
    ray.shutdown()
"""


@pytest.mark.timeout(180)
def test_the_last_word_of_a_stage_is_printed_before_the_run_is_over(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "the last word" in ran.stdout + ran.stderr
