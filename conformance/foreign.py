"""Tables that PyIceberg writes, for this project's own reader of Iceberg tables.

    python foreign.py write <folder>                              tables, and foreign.json with the rows that they have
    python foreign.py compare <foreign.json> <table> <rows>       rows, a JSON object a line, against those of a table;
                                                                  prints the differences

The values are written as the reader writes them: dates in days, times in microseconds, decimals and UUIDs as text,
bytes in base64.
"""

import base64
import datetime
import decimal
import json
import math
import os
import sys
import uuid

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MICROSECOND = datetime.timedelta(microseconds=1)


def plain(value):
    """A value of a row as the reader writes it."""
    if isinstance(value, datetime.datetime):
        return ((value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)) - EPOCH) // MICROSECOND
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    if isinstance(value, datetime.time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "inf", "-inf": "-inf"}[str(value)]
    return value


def moment(month, day=1):
    return datetime.datetime(2024, month, day, 12, 30, 15, 123_456, tzinfo=datetime.timezone.utc)


def write_types(catalog):
    """Every type that is read, null and not."""
    import pyarrow as pa
    from pyiceberg.schema import Schema
    from pyiceberg.types import (
        BinaryType, BooleanType, DateType, DecimalType, DoubleType, FixedType, FloatType, IntegerType, LongType, NestedField,
        StringType, TimestampType, TimestamptzType, TimeType, UUIDType,
    )

    kinds = [
        ("b", BooleanType(), True), ("i", IntegerType(), -5), ("l", LongType(), 2**63 - 1), ("f", FloatType(), 0.5),
        ("d", DoubleType(), 1e300), ("m", DecimalType(9, 2), decimal.Decimal("-10.50")),
        ("n", DecimalType(18, 4), decimal.Decimal("99999999999999.9999")),
        ("o", DecimalType(38, 10), decimal.Decimal("-1234567890123456789012345678.0123456789")),
        ("day", DateType(), datetime.date(1900, 1, 1)), ("t", TimeType(), datetime.time(1, 2, 3, 4)),
        ("ts", TimestampType(), moment(2).replace(tzinfo=None)), ("tz", TimestamptzType(), moment(3)),
        ("s", StringType(), "é😀\x00"), ("u", UUIDType(), uuid.UUID(int=7).bytes), ("x", FixedType(3), b"\x00\xff\x01"),
        ("y", BinaryType(), b"\x00\xff"),
    ]
    fields = [NestedField(number, name, kind) for number, (name, kind, _) in enumerate(kinds, 1)]
    table = catalog.create_table("foreign.types", Schema(*fields), properties=PROPERTIES)
    full = {name: value for name, _, value in kinds}
    rows = [full, dict.fromkeys(full), full | {"d": float("nan"), "s": ""}]
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    return table


def write_changed(catalog):
    """Appended, overwritten and deleted rows: files are replaced, and snapshots kept."""
    import pyarrow as pa

    def rows(numbers, text):
        ids, texts = [f"k{n:03}" for n in numbers], [text] * len(numbers)
        return pa.table({"id": pa.array(ids, pa.string()), "n": pa.array(numbers, pa.int64()), "text": pa.array(texts, pa.string())})

    table = catalog.create_table("foreign.changed", rows([], "").schema, properties=PROPERTIES)
    table.append(rows(list(range(100)), "first"))
    table.append(rows(list(range(100, 150)), "second"))
    table.delete("n < 20")
    table.overwrite(rows([30, 31], "overwritten"), overwrite_filter="n >= 30 and n < 60")
    table.delete("text == 'second'")
    return table


def write_evolved(catalog):
    """Columns added, renamed, widened and dropped; files of each time."""
    import pyarrow as pa
    from pyiceberg.types import DoubleType, LongType, StringType

    table = catalog.create_table(
        "foreign.evolved", pa.schema([("id", pa.string()), ("n", pa.int32()), ("f", pa.float32()), ("gone", pa.string())]), properties=PROPERTIES,
    )
    table.append(pa.table({"id": ["a"], "n": pa.array([1], pa.int32()), "f": pa.array([0.5], pa.float32()), "gone": ["x"]}))
    with table.update_schema() as update:
        update.update_column("n", LongType())
        update.update_column("f", DoubleType())
        update.rename_column("id", "name")
        update.delete_column("gone")
        update.add_column("late", StringType())
    table.append(pa.table({"name": ["b"], "n": pa.array([2**40], pa.int64()), "f": pa.array([1e300]), "late": ["y"]}))
    with table.update_schema() as update:
        # A name again, for another column.
        update.add_column("gone", LongType())
    table.append(pa.table({"name": ["c"], "n": pa.array([3], pa.int64()), "f": pa.array([0.0]), "late": [None], "gone": pa.array([7], pa.int64())},
                          schema=table.schema().as_arrow()))
    return table


def write_months(catalog):
    """Partitioned by month, with a partition emptied and one written again."""
    import pyarrow as pa
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import MonthTransform
    from pyiceberg.types import LongType, NestedField, TimestamptzType

    schema = Schema(NestedField(1, "n", LongType()), NestedField(2, "at", TimestamptzType()))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=MonthTransform(), name="at_month"))
    table = catalog.create_table("foreign.months", schema, partition_spec=spec, properties=PROPERTIES)
    arrow = table.schema().as_arrow()
    table.append(pa.Table.from_pylist([{"n": n, "at": moment(1 + n % 6, 1 + n % 28)} for n in range(60)], schema=arrow))
    table.append(pa.Table.from_pylist([{"n": n, "at": moment(2)} for n in range(60, 65)], schema=arrow))
    table.delete("at >= '2024-03-01T00:00:00+00:00' and at < '2024-04-01T00:00:00+00:00'")
    return table


# The codec that the worker's Parquet library is built with.
PROPERTIES = {"write.parquet.compression-codec": "snappy"}
WRITERS = [write_types, write_changed, write_evolved, write_months]


def folder_catalog(folder):
    """A catalog of tables in a folder, which knows what it has made. PyIceberg's own ones want a database."""
    from pyiceberg.catalog import Catalog, MetastoreCatalog
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.table import CommitTableResponse, Table

    class FolderCatalog(NoopCatalog, MetastoreCatalog):
        tables = {}

        def keep(self, staged):
            self._write_metadata(staged.metadata, staged.io, staged.metadata_location)
            name = Catalog.identifier_to_tuple(staged.name())
            self.tables[name] = Table(name, staged.metadata, staged.metadata_location, staged.io, self)
            return self.tables[name]

        def create_table(self, identifier, schema, partition_spec=None, properties=None):
            specs = {"partition_spec": partition_spec} if partition_spec else {}
            location = f"file://{folder}/{identifier.replace('.', '/')}"
            return self.keep(self._create_staged_table(identifier, schema, location=location, properties=properties or {}, **specs))

        def load_table(self, identifier):
            return self.tables[Catalog.identifier_to_tuple(identifier)]

        def commit_table(self, table, requirements, updates):
            current = self.load_table(table.name())
            kept = self.keep(self._update_and_stage_table(current, table.name(), requirements, updates))
            return CommitTableResponse(metadata=kept.metadata, metadata_location=kept.metadata_location)

    return FolderCatalog("conformance")


def write(folder):
    folder = os.path.abspath(folder)
    catalog = folder_catalog(folder)
    tables = []
    for writer in WRITERS:
        table = writer(catalog)
        rows = [{name: plain(value) for name, value in row.items()} for row in table.scan().to_arrow().to_pylist()]
        prefix = f"file://{folder}/"
        tables.append({
            "name": table.name()[-1], "folder": table.location().removeprefix(prefix), "metadata": table.metadata_location.removeprefix(prefix),
            "rows": rows,
        })
    with open(os.path.join(folder, "foreign.json"), "w", encoding="utf-8") as file:
        json.dump({"tables": tables}, file)


def canonical(rows):
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def compare(expected_path, name, rows_path):
    with open(expected_path, encoding="utf-8") as file:
        expected = next(canonical(table["rows"]) for table in json.load(file)["tables"] if table["name"] == name)
    with open(rows_path, encoding="utf-8") as file:
        found = canonical(json.loads(line) for line in file)
    for row in sorted(set(expected) - set(found)):
        print(f"missing: {row}")
    for row in sorted(set(found) - set(expected)):
        print(f"not expected: {row}")
    if len(found) != len(expected):
        print(f"{len(found)} rows, expected {len(expected)}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    command = {"write": write, "compare": compare}[sys.argv[1]]
    sys.exit(command(*sys.argv[2:]))
