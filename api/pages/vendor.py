"""Vendoring: ``make vendor`` fetches pinned npm packages and copies what the pages use."""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

STATIC = Path(__file__).parent / "static" / "vendor"
PACKAGES = {
    "leaflet": (
        "1.9.4",
        "sha512-nxS1ynzJOmOlHp+iL3FyWqK89GtNL8U8rvlMOsQdTTssxZwCXh8N2NB3GDQOL+YR3XnWyZAxwQixURb+FA74PA==",
        ("dist/leaflet.js", "dist/leaflet.css", "LICENSE"),
    ),
}
"""Package → version, integrity as the registry tells it, files that are copied flat."""


def fetch(name: str, version: str, integrity: str, wanted: tuple[str, ...]) -> None:
    """Fetch one package with npm, refuse it if its bytes are others, and copy its files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603 - pinned arguments
            ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", folder],  # noqa: S607 - npm is found on PATH
            check=True,
            stdout=subprocess.DEVNULL,
        )
        [archive] = Path(folder).glob("*.tgz")
        found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != integrity:
            sys.exit(f"{name} {version}: the bytes are not those that were pinned ({found})")
        into = STATIC / name
        into.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as members:
            for path in wanted:
                member = members.extractfile(f"package/{path}")
                if member is None:
                    sys.exit(f"{name} {version} has no {path}")
                (into / Path(path).name).write_bytes(member.read())


if __name__ == "__main__":
    for package, (version, integrity, wanted) in PACKAGES.items():
        fetch(package, version, integrity, wanted)
