"""Workers out of one process: they start in a moment, end with a status, and none outlives the driver."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kexp.search.forks import Forks, _end, _spawn, _start
from kexp.search.workers import ENVIRONMENT, Processes


@pytest.fixture
def forks():
    found = Forks(ENVIRONMENT)
    yield found
    found.close()


def alive(pid: int) -> bool:
    """Whether a process runs: one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def gone(pids: list[int]) -> bool:
    until = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(alive, pids))


def started(forks: Forks, count: int) -> list[int]:
    until = time.monotonic() + 60
    while len(found := children(forks._process.pid)) < count and time.monotonic() < until:
        time.sleep(0.05)
    assert len(found) == count
    return found


def test_a_worker_that_is_ended_and_one_that_dies_are_told_apart(forks, tmp_path):
    log = tmp_path / "log"
    (one, _one), (two, _two), (three, third) = (forks.fork(log) for _ in range(3))
    pids = started(forks, 3)
    os.kill(pids[1], signal.SIGTERM)
    third.close()  # its driver is gone: it leaves by itself
    assert forks.end(two, log, 5.0) == -signal.SIGTERM
    assert forks.end(one, log) == -signal.SIGKILL
    assert forks.end(three, log, 5.0) == 0
    assert gone(pids)
    assert forks.alive


def test_what_a_worker_prints_is_in_the_log(forks, tmp_path):
    log = tmp_path / "log"
    number, connection = forks.fork(log)
    connection.send("no Setup")
    assert forks.end(number, log, 60.0) == 1
    assert "Traceback" in log.read_text() and "AttributeError" in log.read_text()


def test_closing_it_ends_all_workers(tmp_path):
    forks = Forks(ENVIRONMENT)
    kept = [forks.fork(tmp_path / "log") for _ in range(2)]
    pids = started(forks, 2)
    forks.close()
    assert forks._process.returncode == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # waited for as well: no zombie is left
    forks.close()
    del kept


def test_closing_it_while_it_loads_takes_no_time(tmp_path):
    forks = Forks(ENVIRONMENT)
    number, _connection = forks.fork(tmp_path / "log")
    forks.close()
    assert forks._process.returncode == -signal.SIGKILL
    assert number == 1


def test_workers_end_with_a_process_that_is_killed(forks, tmp_path):
    log = tmp_path / "log"
    number, connection = forks.fork(log)
    pids = started(forks, 1)
    forks._process.kill()
    forks._process.wait()
    assert gone(pids)
    assert not forks.alive
    assert forks.end(number, log) is None
    _, dead = forks.fork(log)
    with pytest.raises((EOFError, OSError)):
        dead.recv()
    with pytest.raises((EOFError, OSError)):
        connection.recv()


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from kexp.search.forks import Forks\n"
        "from kexp.search.workers import ENVIRONMENT\n"
        "forks = Forks(ENVIRONMENT); kept = forks.fork(Path(sys.argv[1])); print(forks._process.pid, flush=True)\n"
        "time.sleep(600)"
    )
    driver = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    server = int(driver.stdout.readline())
    until = time.monotonic() + 60
    while not (pids := children(server)) and time.monotonic() < until:
        time.sleep(0.05)
    assert pids
    driver.kill()
    driver.wait()
    assert gone([server, *pids])


def test_what_cannot_be_loaded_is_in_the_log(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('planted: no TensorFlow here')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    forks, log = Forks(ENVIRONMENT), tmp_path / "log"
    number, connection = forks.fork(log)
    with pytest.raises((EOFError, OSError)):
        connection.recv()
    assert forks.end(number, log) is None
    assert "planted: no TensorFlow here" in log.read_text()
    forks.close()


@pytest.mark.parametrize("asked", [None, "0"])
def test_workers_convolve_by_onednn_unless_the_user_says_no(monkeypatch, asked):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if asked is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", asked)
    workers, found = Processes(), {}
    until = time.monotonic() + 30
    while "TF_NUM_INTRAOP_THREADS" not in found and time.monotonic() < until:  # it has become a program of its own
        with open(f"/proc/{workers._forks._process.pid}/environ") as file:
            found = dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)
    workers.close()
    assert found["TF_ENABLE_ONEDNN_OPTS"] == (asked or "1")
    assert found["TF_NUM_INTRAOP_THREADS"] == "1"


def test_every_worker_of_a_process_that_died_ends_without_an_answer(tmp_path):
    """The first of them has it replaced, and its output told; the others are no error."""
    workers, log = Processes(), tmp_path / "log"
    old = workers._forks
    two = [old.fork(log) for _ in range(2)]
    started(old, 2)
    old._process.kill()
    old._process.wait()
    old.close()
    workers.close()
    assert [old.end(number, log) for number, _ in two] == [None, None]


def test_no_room_for_a_process_is_told_and_the_others_stay(tmp_path, monkeypatch):
    log = str(tmp_path / "log")

    def no_room(*_):
        raise BlockingIOError("planted: no room")

    monkeypatch.setattr("kexp.search.forks._fork", no_room)
    assert _start(None, -1, log) == 0
    assert "planted: no room" in Path(log).read_text()
    assert _end(0, 0.0) == 1


def test_where_forks_are_not_safe_a_worker_is_a_program_of_its_own(tmp_path):
    ours, theirs = socket.socketpair()
    pid = _spawn(theirs.fileno(), str(tmp_path / "log"))
    theirs.close()
    line, until = Path(f"/proc/{pid}/cmdline"), time.monotonic() + 30
    while not line.read_text() and time.monotonic() < until:  # it is on its way from one program to the other
        time.sleep(0.01)
    assert "kexp.search.worker" in line.read_text()
    ours.close()  # its driver is gone
    assert _end(pid, 60.0) == 0
