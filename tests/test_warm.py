"""Commands that start from a process which has the packages imported."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixframe.base.errors import MixframeError
from mixframe.experiment import warm


@pytest.fixture(scope="module")
def environment():
    with warm.started(dict(os.environ), packages=("json", "no_such_package")) as folder:
        yield {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def mixframe(environment, *arguments, **more):
    command = ["mixframe", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, **more)


@pytest.fixture
def project(tmp_path):
    """A folder whose own mixframe prints what it was started with, waits, and ends as asked."""
    package = tmp_path / "src" / "mixframe"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(
        "import json, os, sys, time\n"
        "def main():\n"
        "    value = [sys.argv[1:], os.getcwd(), os.environ['GIVEN'], sys.stdin.read()]\n"
        "    print(json.dumps(value), flush=True)\n"
        "    with open('pid', 'w') as file:\n"
        "        file.write(str(os.getpid()))\n"
        "    print('aside', file=sys.stderr)\n"
        "    if sys.argv[1] == 'wait':\n"
        "        time.sleep(60)\n"
        "    if sys.argv[1] == 'die':\n"
        "        os.kill(os.getpid(), 9)\n"
        "    sys.exit(int(sys.argv[1]))\n"
    )
    return tmp_path


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_has_the_callers_arguments_folder_variables_and_streams(
    environment, project, status
):
    variables = {**environment, "PYTHONPATH": str(project / "src"), "GIVEN": "ü"}
    done = mixframe(variables, str(status), "a b", cwd=project, input="typed")
    assert json.loads(done.stdout) == [[str(status), "a b"], str(project), "ü", "typed"]
    assert done.stderr == "aside\n"
    assert done.returncode == status


def test_a_command_ends_as_its_fork_does(environment, project):
    variables = {**environment, "PYTHONPATH": str(project / "src"), "GIVEN": ""}
    assert mixframe(variables, "die", cwd=project, input="").returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_caller_that_is_killed_takes_its_fork_along(environment, project, number):
    variables = {**environment, "PYTHONPATH": str(project / "src"), "GIVEN": ""}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    caller = subprocess.Popen(["mixframe", "wait"], cwd=project, env=variables, **pipes)
    assert caller.stderr.readline() == b"aside\n"
    pid = int((project / "pid").read_text())
    caller.send_signal(number)
    caller.communicate()
    assert caller.returncode != 0
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    pytest.fail("the stage went on without its caller")


def test_mixframe_is_imported_anew_each_time(environment, project):
    variables = {**environment, "PYTHONPATH": str(project / "src"), "GIVEN": ""}
    mixframe(variables, "0", cwd=project, input="")
    (project / "src" / "mixframe" / "cli.py").write_text("def main():\n    print('edited')\n")
    assert mixframe(variables, cwd=project).stdout == "edited\n"


def test_the_engine_keeps_its_options_and_its_exit_code():
    script = "import shutil, sys; print(shutil.which('mixframe'), sys.argv[1:]); sys.exit(7)"
    command = ["-m", "mixframe", "warm", sys.executable, "-c", script, "--cores", "2", "--help"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "/warm" in done.stdout
    assert "['--cores', '2', '--help']" in done.stdout


def test_an_engine_ends_with_its_warm_command():
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    command = [sys.executable, "-m", "mixframe", "warm", sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not Path(f"/proc/{pid}").exists()


def test_a_command_that_is_nowhere_is_named():
    with pytest.raises(MixframeError, match=r"there is no command snakemak$"):
        warm.run(["snakemak", "--cores", "2"])
