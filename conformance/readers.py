"""Reads Iceberg tables with engines that others wrote, and compares every row with what was put.

    python readers.py <warehouse folder> <expected.json>

The warehouse folder holds the bucket's objects under their keys. expected.json lists the tables:

    {"tables": [
      {"name", "metadata": key of v{N}.metadata.json, "columns": [names, optional], "files": live files, optional,
       "readers": [names], optional: only these read it,
       "root", "at", optional: this folder is linked as "at" while it is read, for tables whose location is below "at",
       "fields": {column: member}, optional: what columns hold that are called otherwise,
       "dropped": {member: version}, optional: members whose column left the table, which rows up to this version may lack,
       "documents": [{"id", "seq", "ts", "text"}, ...]          a state table: the documents, "ts" in Unix ms
       or "events": [{"sequence", "event_id", ...}, ...]}, ...]} a change log: its rows, "timestamp" in Unix ms

A state table's documents are rebuilt here, independently of the writer, from the typed columns and `_extra`, and must be
the same JSON as the documents put: number texts included, members in any order.

Then each plain column is compared with some of its values, so that engines prune by the bounds and statistics written.

Prints one line a reader and table, the differences found, and last `N passed, N failed`. With "brief": true beside
"tables" a table that is right has no line, but each reader has one at the end.
"""

import base64
import datetime
import decimal
import json
import os
import re
import struct
import sys
import uuid

import pyarrow

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MAX_SHOWN = 5


class Number(str):
    """The text of a JSON number."""


def parse(text):
    """JSON with number texts kept."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)


def same(left, right):
    """Whether two parsed values are the same JSON."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def ecmascript(shortest):
    """A double's text as ECMAScript's Number::toString writes it, from Python's shortest digits."""
    sign, digits, exponent = decimal.Decimal(shortest).as_tuple()
    digits = "".join(map(str, digits)).lstrip("0")
    stripped = digits.rstrip("0")
    exponent += len(digits) - len(stripped)
    digits = stripped
    if not digits:
        return "0"
    point = len(digits) + exponent
    if 0 < point <= 21:
        text = digits.ljust(point, "0") if exponent >= 0 else digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        power = point - 1
        mantissa = digits if len(digits) == 1 else digits[0] + "." + digits[1:]
        text = f"{mantissa}e{'+' if power > 0 else '-'}{abs(power)}"
    return ("-" if sign else "") + text


def shortest_float(value):
    """The shortest text that reads back as the same single-precision number."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", value):
            return text
    return repr(value)


def micros(moment):
    """Microseconds since the epoch; a time without zone is UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def canonical(value, field):
    """A column's value as the JSON value that it stands for, by the type of the table's schema."""
    kind = field["type"]
    if field.get("doc") == "JSON text":
        return parse(value)
    if kind == "boolean":
        return bool(value)
    if kind in ("int", "long"):
        return Number(int(value))
    if kind == "double" and field["narrow"]:
        return Number(ecmascript(shortest_float(value)))
    if kind == "double":
        return Number(ecmascript(repr(float(value))))
    if kind == "float":
        return Number(ecmascript(shortest_float(value)))
    if kind.startswith("decimal"):
        scale = int(kind.rstrip(")").split(",")[1])
        return Number(f"{decimal.Decimal(value):.{scale}f}")
    if kind == "date":
        return value.isoformat()
    if kind == "timestamptz":
        text = (EPOCH + datetime.timedelta(microseconds=micros(value))).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")
    if kind == "uuid":
        return str(value if isinstance(value, uuid.UUID) else uuid.UUID(bytes=bytes(value)))
    if kind == "binary":
        return base64.b64encode(bytes(value)).decode()
    return value.decode() if isinstance(value, bytes) else value


def rebuild(row, fields, members):
    """The document that a row of a state table stands for. `members`: what columns hold that are called otherwise."""
    extra = parse(text_of(row["_extra"])) if row.get("_extra") is not None else {}
    document = {"id": text_of(row["id"])}
    for field in fields:
        name, value = field["name"], row[field["name"]]
        member = members.get(name, name)
        if name in ("id", "_seq", "_ts", "_extra") or value is None or member in extra:
            continue
        document[member] = canonical(value, field)
    return document | extra


def text_of(value):
    return value.decode() if isinstance(value, bytes) else value


class Table:
    """One expected table."""

    def __init__(self, warehouse, expected):
        self.expected = expected
        self.name = expected["name"]
        self.warehouse = warehouse
        self.enter()
        self.metadata_path = os.path.join(warehouse, expected["metadata"])
        self.folder = os.path.dirname(os.path.dirname(self.metadata_path))
        with open(self.metadata_path, encoding="utf-8") as file:
            metadata = json.load(file)
        current = metadata["current-schema-id"]
        schemas = {schema["schema-id"]: schema["fields"] for schema in metadata["schemas"]}
        self.fields = schemas[current]
        for field in self.fields:
            # A column that was widened from single precision still has such values in earlier files.
            earlier = [old["type"] for fields in schemas.values() for old in fields if old["id"] == field["id"]]
            field["narrow"] = "float" in earlier

    def enter(self):
        """Puts the table where its location says that it is."""
        if "root" in self.expected:
            link = os.path.join(self.warehouse, self.expected["at"])
            if os.path.islink(link):
                os.unlink(link)
            os.symlink(self.expected["root"], link)

    def check(self, rows):
        """Differences between `rows` (dictionaries) and what was put."""
        if rows and list(rows[0]) != [field["name"] for field in self.fields]:
            return [f"columns {list(rows[0])}, expected {[field['name'] for field in self.fields]}"]
        return self.check_state(rows) if "documents" in self.expected else self.check_changes(rows)

    def check_state(self, rows):
        found = {text_of(row["id"]): row for row in rows}
        expected = {row["id"]: row for row in self.expected["documents"]}
        problems = [] if len(found) == len(rows) else [f"{len(rows) - len(found)} rows too many of some id"]
        problems += [f"{id!r} is missing" for id in expected.keys() - found.keys()]
        problems += [f"{id!r} is not expected" for id in found.keys() - expected.keys()]
        members, dropped = self.expected.get("fields") or {}, self.expected.get("dropped") or {}
        for id in expected.keys() & found.keys():
            row, wanted = found[id], expected[id]
            if (row["_seq"], micros(row["_ts"])) != (wanted["seq"], wanted["ts"] * 1000):
                problems.append(f"{id!r}: version {row['_seq']} at {row['_ts']}, expected {wanted['seq']} at {wanted['ts']}")
            document, put = rebuild(row, self.fields, members), parse(wanted["text"])
            for name in dropped.keys() & put.keys() - document.keys():
                if wanted["seq"] <= dropped[name]:
                    del put[name]
            if not same(document, put):
                names = [name for name in document.keys() | put.keys() if not same(document.get(name), put.get(name))]
                problems += [f"{id!r}: {name!r} is {document.get(name)!r}, expected {put.get(name)!r}" for name in names]
        return problems

    def check_changes(self, rows):
        rows = sorted(rows, key=lambda row: row["sequence"])
        expected = self.expected["events"]
        problems = [] if len(rows) == len(expected) else [f"{len(rows)} events, expected {len(expected)}"]
        for row, wanted in zip(rows, expected):
            row = {name: text_of(value) for name, value in row.items()}
            row["timestamp"] = micros(row["timestamp"]) // 1000
            for name, value in wanted.items():
                is_image = name in ("before", "after") and row[name] is not None and value is not None
                if not (same(parse(row[name]), parse(value)) if is_image else row[name] == value):
                    problems.append(f"event {wanted['sequence']}: {name} is {row[name]!r}, expected {value!r}")
        return problems


def read_pyiceberg(table, where=None):
    from pyiceberg.expressions import AlwaysTrue, EqualTo
    from pyiceberg.table import StaticTable

    row_filter = EqualTo(*where) if where else AlwaysTrue()
    arrow = StaticTable.from_metadata("file://" + table.metadata_path).scan(row_filter=row_filter).to_arrow()
    return arrow.to_pylist()


def read_polars(table, where=None):
    import polars

    frame = polars.scan_iceberg("file://" + table.metadata_path)
    if where:
        frame = frame.filter(polars.col(where[0]) == where[1])
    return frame.collect().to_dicts()


def read_clickhouse(table, where=None):
    import chdb

    # Paths must lie under the working directory.
    folder = os.path.relpath(table.folder)
    condition = f"WHERE `{where[0]}` = {clickhouse_literal(where[1])}" if where else ""
    # Binary columns are ClickHouse strings, which Arrow would take for UTF-8.
    settings = "SETTINGS output_format_arrow_string_as_string = 0"
    result = chdb.query(f"SELECT * FROM icebergLocal('{folder}') {condition} {settings}", "ArrowStream")
    with pyarrow.ipc.open_stream(pyarrow.BufferReader(result.bytes())) as reader:
        return reader.read_all().to_pylist()


def clickhouse_literal(value):
    return f"unhex('{value.encode().hex()}')" if isinstance(value, str) else repr(value)


READERS = {"pyiceberg": read_pyiceberg, "polars": read_polars, "clickhouse": read_clickhouse}


def check_filters(read, table, rows):
    """Each plain column compared with one of its values: pruning by our bounds must lose no row. (problems, filters)"""
    problems, filters = [], 0
    for field in table.fields:
        name = field["name"]
        # Engines do not agree on what a widened column compares as in earlier files.
        if field["type"] not in ("int", "long", "double", "string") or field["narrow"] or not re.fullmatch(r"\w+", name, re.ASCII):
            continue
        values = sorted({text_of(row[name]) for row in rows if row[name] is not None})
        # In the middle: a value that no bound is made of. JSON text is compared like any other.
        for value in {values[len(values) // 2], values[0], values[-1]} if values else ():
            filters += 1
            expected = sum(text_of(row[name]) == value for row in rows)
            found = len(read(table, (name, value)))
            if found != expected:
                problems.append(f"{name} = {value!r} finds {found} rows, expected {expected}")
    return problems, filters


def check_snapshots(table):
    """Every snapshot that the table still names can be read, by PyIceberg, and has the rows it says."""
    from pyiceberg.table import StaticTable

    opened = StaticTable.from_metadata("file://" + table.metadata_path)
    problems = []
    for snapshot in opened.snapshots():
        # The records of the data files, deleted ones too.
        expected = int(snapshot.summary["total-records"]) - int(snapshot.summary["total-position-deletes"])
        found = opened.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows
        if found != expected:
            problems.append(f"snapshot {snapshot.snapshot_id} has {found} rows, its summary says {expected}")
    return problems


def check_table(reader, table):
    """(rows, filters, problems) of one reader and table."""
    read = READERS[reader]
    table.enter()
    rows = read(table)
    problems, filters = table.check(rows), 0
    if not problems:
        problems, filters = check_filters(read, table, rows)
    if reader == "pyiceberg":
        problems += check_snapshots(table)
    return len(rows), filters, problems


def main(warehouse, expected_path):
    warehouse = os.path.abspath(warehouse)
    with open(expected_path, encoding="utf-8") as file:
        described = json.load(file)
    tables = [Table(warehouse, expected) for expected in described["tables"]]
    brief = described.get("brief", False)
    os.chdir(warehouse)
    passed = failed = 0
    width = max((len(table.name) for table in tables), default=5)
    print(f"{'reader':<10}  {'table':<{width}}  {'rows':>6}  {'filters':>7}")
    for reader in READERS:
        total = [0, 0, 0, 0]
        for table in tables:
            if reader not in table.expected.get("readers", READERS):
                continue
            try:
                rows, filters, problems = check_table(reader, table)
            except Exception as error:  # A reader that fails is a finding, not the end.
                rows, filters, problems = 0, 0, [f"{type(error).__name__}: {str(error)[:500]}"]
            if problems or not brief:
                print(f"{reader:<10}  {table.name:<{width}}  {rows:>6}  {filters:>7}  {'ok' if not problems else 'FAILED'}", flush=True)
            for problem in problems[:MAX_SHOWN]:
                print(f"            {problem}")
            if len(problems) > MAX_SHOWN:
                print(f"            and {len(problems) - MAX_SHOWN} more")
            total = [sum(counts) for counts in zip(total, [1, rows, filters, bool(problems)])]
        count, rows, filters, wrong = total
        if brief:
            print(f"{reader:<10}  {f'{count} tables':<{width}}  {rows:>6}  {filters:>7}  {f'{wrong} FAILED' if wrong else 'ok'}", flush=True)
        passed, failed = passed + count - wrong, failed + wrong
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
