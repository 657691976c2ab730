# ruff: noqa: S608 - statements are put together from names of this module; facts are parameters
"""What the lab says to DuckDB.

A statement that reads ``arrivals`` gets it as numpy columns, by `duckdb_file.ask`.
"""

from livinglab.adapters.timeseries.columns import DTYPES
from livinglab.domain.readings import Flag

HOUR = 3_600_000
DAY = 24 * HOUR
NAMES = ", ".join(DTYPES)

_COLUMNS = """
    datastream INTEGER, time BIGINT, result DOUBLE, raw DOUBLE, flag UTINYINT, tests USMALLINT,
    place INTEGER, lon DOUBLE, lat DOUBLE
"""
SCHEMA = f"""
    CREATE TABLE IF NOT EXISTS hot ({_COLUMNS}, batch BIGINT, shadows BOOLEAN);
    CREATE TABLE IF NOT EXISTS cold ({_COLUMNS});
    CREATE TABLE IF NOT EXISTS latest ({_COLUMNS});
    CREATE TABLE IF NOT EXISTS hourly (
        datastream INTEGER, hour BIGINT, aggregation VARCHAR,
        n INTEGER, mean DOUBLE, minimum DOUBLE, maximum DOUBLE, suspect INTEGER
    );
    CREATE TABLE IF NOT EXISTS rolled_up AS SELECT 0::BIGINT AS batch;
    CREATE VIEW IF NOT EXISTS readings AS
        SELECT {NAMES} FROM hot
        UNION ALL
        SELECT {NAMES} FROM cold
        ANTI JOIN (SELECT datastream, time FROM hot WHERE shadows) USING (datastream, time);
"""

INSERT = "INSERT INTO hot SELECT *, ?::BIGINT, false FROM arrivals"
INSERT_SHADOWS = f"INSERT INTO hot SELECT {NAMES}, ?::BIGINT, shadows FROM arrivals"
LOOK_UP = """
    SELECT arrivals.number, {0}.result FROM {0} JOIN arrivals USING (datastream, time)
    WHERE {0}.time BETWEEN ? AND ?
"""
JUDGED = f"""
    SELECT {", ".join(f"readings.{name}" for name in NAMES.split(", "))}, arrivals.number
    FROM readings JOIN arrivals USING (datastream, time)
    WHERE time BETWEEN ? AND ? AND readings.datastream BETWEEN ? AND ?
    AND readings.result = arrivals.result
    AND (readings.flag <> arrivals.flag OR readings.tests <> arrivals.tests)
"""
WITHDRAW = """
    DELETE FROM hot USING arrivals
    WHERE hot.datastream = arrivals.datastream AND hot.time = arrivals.time
    AND hot.time BETWEEN ? AND ?
"""
NEWEST = f"""
    SELECT {NAMES} FROM hot
    SEMI JOIN (SELECT datastream, max(time) AS time FROM hot GROUP BY datastream)
    USING (datastream, time)
"""
STATE = """
    SELECT
        greatest((SELECT batch FROM rolled_up), (SELECT max(batch) FROM hot)),
        (SELECT max(time) FROM cold),
        (SELECT count(*) FROM hot) + (SELECT count(*) FROM cold)
            - (SELECT count(*) FROM hot WHERE shadows)
"""
BETWEEN = f"""
    SELECT {NAMES} FROM readings WHERE datastream = ? AND time >= ? AND time < ?
    ORDER BY time LIMIT ?
"""
FLAGS = "SELECT datastream, flag, count(*) FROM readings {0} GROUP BY ALL"
TO_AVERAGE = f"""
    SELECT time, result, flag FROM readings WHERE datastream = ? AND time >= ? AND time < ?
    AND flag <= {int(Flag.SUSPECT)} ORDER BY time
"""


_PLAN = f"""
    WITH touched AS (
        SELECT DISTINCT datastream, floor(time / {DAY})::BIGINT AS day FROM hot WHERE {{0}}
    )
    SELECT touched.datastream, day, count(*) AS n,
        datetrunc('month', epoch_ms(day * {DAY})) AS month
    FROM readings JOIN touched
        ON readings.datastream = touched.datastream AND floor(readings.time / {DAY})::BIGINT = day
    WHERE time >= (SELECT min(day) * {DAY} FROM touched)
    GROUP BY ALL ORDER BY month, touched.datastream, day
"""
DIRTY = _PLAN.format("batch > (SELECT batch FROM rolled_up) AND batch <= ?")
ENDED = _PLAN.format("batch <= ? AND time < ?")

_IN_SLICE = f"""
    {{0}}.datastream = arrivals.datastream AND floor({{0}}.{{1}} / {DAY})::BIGINT = arrivals.day
    AND {{0}}.datastream BETWEEN ? AND ? AND {{0}}.{{1}} BETWEEN ? AND ?
"""
"""The last line follows from the first, but lets DuckDB skip most of a table."""

READ = f"""
    SELECT readings.datastream, time, result, flag
    FROM readings JOIN arrivals ON {_IN_SLICE.format("readings", "time")}
    WHERE flag <= {int(Flag.SUSPECT)} ORDER BY readings.datastream, time
"""
DROP_HOURS = f"DELETE FROM hourly USING arrivals WHERE {_IN_SLICE.format('hourly', 'hour')}"
KEEP_HOURS = """
    INSERT INTO hourly
    SELECT datastream, hour, ?, n, mean, minimum, maximum, suspect FROM arrivals
"""
HOURS = """
    SELECT hour, aggregation = ? AS fits, n, mean, minimum, maximum, suspect FROM hourly
    WHERE datastream = ? AND hour >= ? AND hour < ? ORDER BY hour
"""
FIRST_DIRTY = """
    SELECT min(time) FROM hot WHERE datastream = ? AND time >= ? AND time < ?
    AND batch > (SELECT batch FROM rolled_up)
"""
MERGE = f"""
    WITH
        young AS (
            SELECT {{0}} FROM hot JOIN arrivals ON {_IN_SLICE.format("hot", "time")}
            WHERE batch <= ?
        ),
        old AS (SELECT {{1}} FROM cold JOIN arrivals ON {_IN_SLICE.format("cold", "time")})
    SELECT * FROM young
    UNION ALL SELECT * FROM old ANTI JOIN young USING (datastream, time)
    ORDER BY datastream, time
""".format(
    *(", ".join(f"{table}.{name}" for name in NAMES.split(", ")) for table in ("hot", "cold"))
)
LEAVE_HOT = f"DELETE FROM hot USING arrivals WHERE {_IN_SLICE.format('hot', 'time')} AND batch <= ?"
LEAVE_COLD = f"DELETE FROM cold USING arrivals WHERE {_IN_SLICE.format('cold', 'time')}"

MARK = "UPDATE rolled_up SET batch = ?"
REST = f"INSERT INTO cold SELECT {NAMES} FROM arrivals"
FORGET = "DELETE FROM latest USING arrivals WHERE latest.datastream = arrivals.datastream"
REMEMBER = f"INSERT INTO latest SELECT {NAMES} FROM arrivals"
REMEMBERED = f"SELECT {NAMES} FROM latest"
DAYS_AT_REST = f"SELECT DISTINCT time // {DAY} FROM cold"
SEAL = """
    COPY (
        SELECT
            datastream, make_timestamptz(time * 1000) AS time, result, raw, flag, tests, place
        FROM cold WHERE time >= ? AND time < ? ORDER BY datastream, cold.time
    )
    TO ? (FORMAT parquet, COMPRESSION zstd)
"""
FORGET_BEFORE = "DELETE FROM {0} WHERE time < ?"
PING = "SELECT batch FROM rolled_up"
