"""The whole lab in one process, as a newcomer meets it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from livinglab.adapters.mqtt.local import free_port
from livinglab.adapters.relational.unit_of_work import SqlCivicStore
from livinglab.domain.quality import Skew
from livinglab.domain.readings import to_ms
from livinglab.domain.things import Datastream, Thing, ThingState


def livinglab(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "livinglab", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def ports() -> tuple[str, ...]:
    """Return options with ports that nobody uses."""
    return "--port", str(free_port()), "--mqtt-port", str(free_port())


def test_town_lives_and_nothing_is_lost(tmp_path):
    """A few seconds of the small town: it ends by itself, and both ledgers balance."""
    done = livinglab("up", "--town", "small", "--data", str(tmp_path), "--for", "6", *ports())
    told = dict(line.rsplit(None, 1) for line in done.stdout.splitlines() if line[-1:].isdigit())

    assert 0 == done.returncode, done.stderr
    assert ("0", "0") == (told["lost"], told["unaccounted"])
    assert int(told["  received"]) > 10_000
    assert int(told["  = stored"]) > 10_000
    assert int(told["  + quarantined whole"]) > 0
    assert int(told["Observations"]) > 10
    assert [] == [one.name for one in tmp_path.iterdir() if one.name == "lab.json"]


def test_town_flat_out_on_its_own_clock(tmp_path):
    """Two days in seconds, none of it from the future."""
    arguments = ("--town", "small", "--speed", "max", "--days", "2", "--data", str(tmp_path))
    done = livinglab("up", *arguments, *ports())
    told = dict(line.rsplit(None, 1) for line in done.stdout.splitlines() if line[-1:].isdigit())
    waiting = livinglab("quarantine", "list", "--json", "--data", str(tmp_path))

    assert 0 == done.returncode, done.stderr
    assert ("0", "0") == (told["lost"], told["unaccounted"])
    assert "future" not in {one["reason"] for one in json.loads(waiting.stdout)}


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (("up", "--town", "atlantis"), {}, 2, "there is no town"),
        (("up", "--speed", "slow"), {}, 2, "--speed"),
        (("up",), {"LIVINGLAB_READINGS": "paper:"}, 2, "LIVINGLAB_READINGS"),
        (("up",), {"LIVINGLAB_BROKER_WINDOW": "many"}, 2, "LIVINGLAB_BROKER_WINDOW"),
        (("up",), {"LIVINGLAB_CITY": "nowhere.toml"}, 2, "nowhere.toml"),
        (("ingest",), {}, 2, "LIVINGLAB_BROKER"),
        (("ingest",), {"LIVINGLAB_BROKER": "mqtt://127.0.0.1:1"}, 3, "broker 127.0.0.1:1"),
        (("thing", "list"), {}, 3, "holds no lab"),
        (("decode", "morse", "-"), {}, 1, "morse"),
    ],
)
def test_what_cannot_work_says_what_to_do(tmp_path, arguments, environment, code, said):
    """One sentence, an exit code, and nothing half-started left behind."""
    facts = {"LIVINGLAB_DATA": str(tmp_path / "lab")} | environment
    extra = ports() if arguments[0] == "up" else ()
    done = subprocess.run(
        [sys.executable, "-m", "livinglab", *arguments, *extra],
        env=os.environ | facts,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )

    assert code == done.returncode, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_busy_ports_are_named(tmp_path):
    """Whether it is the pages' or the broker's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = str(taken.getsockname()[1])
        pages = livinglab("up", "--data", str(tmp_path), "--port", busy)
        mqtt = livinglab(
            "up", "--data", str(tmp_path), "--port", str(free_port()), "--mqtt-port", busy
        )

    for done in (pages, mqtt):
        assert 3 == done.returncode
        assert f"port {busy}" in done.stderr
        assert "Traceback" not in done.stderr


def test_second_lab_on_the_same_folder_is_refused_and_commands_still_work(tmp_path):
    """The first goes on; what commands ask of it they get."""
    port = free_port()
    first = subprocess.Popen(
        [
            *(sys.executable, "-m", "livinglab", "up", "--data", str(tmp_path)),
            *("--port", str(port), "--mqtt-port", str(free_port())),
        ],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        await_answer(f"http://127.0.0.1:{port}/health/ready")
        second = livinglab("up", "--data", str(tmp_path), *ports())
        replayed = livinglab("quarantine", "replay", "--data", str(tmp_path))
        key = livinglab("key", "create", "--name", "me", "--scope", "read", "--data", str(tmp_path))
        mode = (tmp_path / "lab.json").stat().st_mode & 0o777
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(30)

    assert 3 == second.returncode
    assert "another lab uses it" in second.stderr
    assert 0 == replayed.returncode, replayed.stderr
    assert 0 == key.returncode, key.stderr
    assert 0o600 == mode
    assert 0 == first.returncode


def test_ctrl_c_ends_in_order(tmp_path):
    """A terminal interrupts the whole group; the broker outlives the lab and nothing is lost."""
    port = free_port()
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "livinglab", "up", "--town", "small", "--data", str(tmp_path)),
            *("--port", str(port), "--mqtt-port", str(free_port())),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    await_answer(f"http://127.0.0.1:{port}/health/ready")
    os.killpg(running.pid, signal.SIGINT)
    told = running.communicate(timeout=60)[0]

    assert 0 == running.returncode
    ends = dict(line.rsplit(None, 1) for line in told.splitlines() if line[-1:].isdigit())
    assert "0" == ends["lost"]


def await_answer(url: str) -> None:
    """Wait until a page answers."""
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_decode_prints_json_lines(tmp_path):
    """One object a line, with what came and what it became."""
    file = tmp_path / "payload.json"
    file.write_text('{"v": 50, "t": 1767225600000, "u": "[degF]"}')
    done = livinglab("decode", "lab", str(file), "--topic", "lab/post/temperature")
    line = json.loads(done.stdout)

    assert 0 == done.returncode
    assert pytest.approx(10.0) == line["result"]
    assert {"value": 50, "unit": "[degF]"} == line["raw"]
    assert ("lab:post", "2026-01-01T00:00:00Z", "Cel", 1) == tuple(
        line[name] for name in ("thing", "time", "unit", "flag")
    )


def test_thing_show_tells_how_wrong_its_clock_is(tmp_path):
    """The median over its Datastreams, which share the clock."""
    store = SqlCivicStore.open(f"sqlite:///{tmp_path / 'civic.sqlite'}", migrate=True)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with closing(store), store.work() as work:
        post = Thing(
            scheme="lab",
            external_id="post",
            state=ThingState.CONFIRMED,
            route="lab",
            introduced_at=now,
        )
        work.things.add([post])
        streams = [
            Datastream(thing="lab:post", observed_property=name, introduced_at=now)
            for name in ("no2", "o3")
        ]
        work.things.add_datastreams(streams)
        told = zip(streams, (7_190.0, 7_210.0), strict=True)
        work.quality.note_skews([Skew(one.number or 0, lag, 16, to_ms(now)) for one, lag in told])

    shown = livinglab("thing", "show", "lab:post", "--json", "--data", str(tmp_path))
    [clock] = [row for row in json.loads(shown.stdout) if row["what"] == "clock"]

    assert "7200 s late when it arrives, median of 32" == clock["value"]


def test_route_says_who_takes_a_topic(tmp_path):
    """Before the first message comes: which route, which names, and what it makes of a payload."""
    city = tmp_path / "city.toml"
    city.write_text(
        '[city]\nkey = "c"\nname = "C"\n[[routes]]\nname = "air"\nfilter = "{site}/air/{thing}"\n'
        'format = "lab"\nidentity = "{site}-{thing}"\ndefaults = { property = "no2" }\n'
    )
    chosen = {"LIVINGLAB_CITY": str(city)}
    taken = livinglab("route", "north/air/7", "--json", **chosen)
    nobody = livinglab("route", "north/water/7", **chosen)
    payload = tmp_path / "payload.json"
    payload.write_text("41.5")
    shown = livinglab("route", "north/air/7", "--payload", str(payload), **chosen)

    assert 0 == taken.returncode
    assert "site=north thing=north-7" in json.loads(taken.stdout)[0]["names"].replace(
        "property=no2 ", ""
    )
    assert 1 == nobody.returncode
    assert "{site}/air/{thing}" in nobody.stderr
    assert "air:north-7" == json.loads(shown.stdout.splitlines()[-1])["thing"]


def test_settings_page_is_up_to_date():
    """`docs/settings.md` is what the command prints."""
    page = Path(__file__).parents[2] / "docs" / "settings.md"

    assert livinglab("settings", "--markdown").stdout == page.read_text(encoding="utf-8")
