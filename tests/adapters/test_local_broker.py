"""A broker of the lab's own is started, ended and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from livinglab.adapters.mqtt.local import Kind, LocalBroker, find, free_port, port_is_free
from livinglab.config import LOCAL_WINDOW
from livinglab.errors import PortBusyError

HOST = "127.0.0.1"
PATIENCE_S = 15.0

LAB = """
import sys, threading, time
from pathlib import Path
from livinglab.adapters.mqtt.local import LocalBroker

folder, port, kind, where = sys.argv[1:]
broker = LocalBroker(Path(folder), port=int(port), window=10, kind=kind)
if where == "main":
    broker.start()
else:
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
print(broker.pid, flush=True)
time.sleep(60)
"""
"""A lab with a broker; one that a thread of it started outlives it."""


@pytest.fixture(params=["mosquitto", "nats"])
def kind(request) -> Kind:
    """Every broker that is on this machine."""
    kind: Kind = request.param
    if find(kind) is None:
        pytest.skip(f"{kind} is not on this machine")
    return kind


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def killed_lab(folder: Path, port: int, kind: Kind, where: str) -> int:
    """Start a lab with a broker in a process, kill it, and return the pid of its broker."""
    with subprocess.Popen(
        [sys.executable, "-c", LAB, str(folder), str(port), kind, where],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as lab:
        assert lab.stdout is not None
        try:
            return int(lab.stdout.readline())
        finally:
            lab.kill()


def test_busy_port_is_named(kind, tmp_path):
    """Another program listens there: the error says which port, and nothing is started."""
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        broker = LocalBroker(tmp_path, port=port, window=10, kind=kind)

        with pytest.raises(PortBusyError, match=str(port)):
            broker.start()

    assert broker.pid is None
    assert not (tmp_path / "broker.pid").exists()


def test_nothing_is_left_behind(kind, tmp_path):
    """After stop there is no process, no pid file and a free port; a second stop does nothing."""
    broker = LocalBroker(tmp_path, port=free_port(), window=10, kind=kind).start()
    pid = broker.pid
    assert pid is not None
    assert str(pid) == (tmp_path / "broker.pid").read_text(encoding="ascii")

    broker.stop()
    broker.stop()

    assert not alive(pid)
    assert not (tmp_path / "broker.pid").exists()
    assert port_is_free(HOST, broker.port)
    assert broker.pid is None


def test_same_broker_starts_again(kind, tmp_path):
    """After an orderly end and after a kill, on the same port."""
    broker = LocalBroker(tmp_path, port=free_port(), window=10, kind=kind)
    for end in (broker.stop, broker.kill, broker.stop):
        broker.start()
        end()

    assert port_is_free(HOST, broker.port)


def test_survivor_of_a_killed_lab_is_ended(kind, tmp_path):
    """The pid file names it, and its port is taken over."""
    port = free_port()
    survivor = killed_lab(tmp_path, port, kind, "thread")
    assert alive(survivor)

    broker = LocalBroker(tmp_path, port=port, window=10, kind=kind).start()
    try:
        assert survivor != broker.pid
        assert not alive(survivor)
    finally:
        broker.stop()


def test_broker_ends_with_a_killed_lab(kind, tmp_path):
    """Where the main thread started it, the kernel ends it."""
    if sys.platform != "linux":
        pytest.skip("only the kernel of Linux does so")

    pid = killed_lab(tmp_path, free_port(), kind, "main")

    wait_for(lambda: not alive(pid))


@pytest.mark.parametrize("content", ["", "no number", "ours", "999999999"])
def test_pid_file_that_names_no_broker_ends_nothing(kind, content, tmp_path):
    """Numbers are used again by other programs: only a broker of this folder is ended."""
    (tmp_path / "broker.pid").write_text(
        content.replace("ours", str(os.getpid())), encoding="ascii"
    )
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        LocalBroker(tmp_path, port=free_port(), window=10, kind=kind).start().stop()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert [] == received


def test_shipped_configuration_says_what_the_local_broker_says(tmp_path):
    """`mosquitto.conf` differs in who may enter and where files lie, and in nothing else."""
    broker = LocalBroker(tmp_path, port=1883, window=LOCAL_WINDOW, kind="mosquitto")
    shipped = Path(__file__).parents[2] / "mosquitto.conf"

    def settings(text: str) -> set[str]:
        own = ("listener", "allow_anonymous", "persistence_location", "user", "log_", "#")
        other = ("password_file", "acl_file")
        lines = (line.strip() for line in text.splitlines())
        return {line for line in lines if line and not line.startswith(own + other)}

    assert settings(broker._mosquitto()) == settings(shipped.read_text(encoding="utf-8"))
