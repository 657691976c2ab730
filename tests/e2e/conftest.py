"""A broker of their own for tests that kill things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from livinglab.adapters.mqtt.local import LocalBroker, free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A mosquitto with the settings that ship."""
    started = LocalBroker(
        tmp_path / "broker", port=free_port(), window=10_000, kind="mosquitto"
    ).start()
    try:
        yield started
    finally:
        started.stop()
