"""Parquet (by pyarrow) and Vortex (by vortex-data) at the service of benches/columns.mjs.

    python peers.py <folder of vega-datasets' files> <empty folder>

Each line of stdin is a JSON object, answered by one line of JSON. {"do": "prepare", "dataset"} writes the table in each
format, and as it is for our own code (see `write_neutral`); of that table then

    {"do": "read", "form"}   reads it whole, one thread: {"ms"}; with "column", of Parquet, that one alone
    {"do": "write", "form"}  writes it into memory: {"ms"}
    {"do": "json"}           {"bytes"} of its rows as JSON text, one object a line
    {"do": "sqlite"}         {"bytes"} of a SQLite file with a typed column for each
"""

import json
import os
import sqlite3
import struct
import sys
import time

import datasets
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import vortex
import vortex.io

PARQUET = {"snappy": {"compression": "snappy"}, "zstd": {"compression": "zstd", "compression_level": 3}}
VORTEX = {"vortex": vortex.io.VortexWriteOptions.default, "compact": vortex.io.VortexWriteOptions.compact}
SLICE = 65_536


def write_neutral(table, path):
    """A table as plain little-endian bytes. u32: how many columns; for each: u32 and the name, u32 and the type, u32 rows,
    a byte a row that is 1 where it has a value, u32 values, then the values. Texts are their lengths (u32), then all of
    them."""
    with open(path, "wb") as file:
        number = lambda value: file.write(struct.pack("<I", value))
        number(table.num_columns)
        for name in table.column_names:
            column = table[name]
            kind = datasets.type_of(table, name)
            for text in (name.encode(), kind.encode()):
                number(len(text))
                file.write(text)
            number(len(column))
            file.write(column.is_valid().to_numpy().astype("u1"))
            values = column.drop_null()
            number(len(values))
            if kind in ("string", "json"):
                values = values.cast(pyarrow.large_binary())
                file.write(pyarrow.compute.binary_length(values).to_numpy().astype("<u4"))
                for chunk in values.chunks:
                    start, end = (chunk.offset, chunk.offset + len(chunk))
                    offsets = memoryview(chunk.buffers()[1]).cast("q")
                    file.write(memoryview(chunk.buffers()[2] or b"")[offsets[start] : offsets[end]])
            elif kind == "bool":
                file.write(values.to_numpy().astype("u1"))
            elif kind == "double":
                file.write(values.to_numpy().astype("<f8"))
            else:
                file.write(values.cast(pyarrow.int64()).to_numpy().astype("<i8"))


class Peers:
    def __init__(self, vega, folder):
        self.vega = vega
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_file(self, table, form, path):
        if form in PARQUET:
            pyarrow.parquet.write_table(table, path, **PARQUET[form])
        else:
            VORTEX[form]().write(table, path)
        return os.path.getsize(path)

    def prepare(self, dataset):
        self.table = table = datasets.load(dataset, self.vega)
        write_neutral(table, self.path("neutral"))
        sizes = {form: self.write_file(table, form, self.path(form)) for form in (*PARQUET, *VORTEX)}
        # Read from memory: the file's own reading is not what is compared.
        self.parquet = {}
        for form in PARQUET:
            with open(self.path(form), "rb") as file:
                self.parquet[form] = pyarrow.py_buffer(file.read())
        columns = [{"name": name, "type": datasets.type_of(table, name)} for name in table.column_names]
        metadata = pyarrow.parquet.ParquetFile(self.path("zstd")).metadata
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        for position, column in enumerate(columns):
            column["zstd"] = sum(group.column(position).total_compressed_size for group in groups)
            column["vortex"] = self.write_file(table.select([position]), "vortex", self.path("column"))
        values = sum(len(column) - column.null_count for column in table.columns)
        return {"rows": table.num_rows, "values": values, "sizes": sizes, "columns": columns, "neutral": self.path("neutral")}

    def read(self, form, column=None):
        started = time.perf_counter()
        if form in PARQUET:
            columns = None if column is None else [column]
            table = pyarrow.parquet.read_table(pyarrow.BufferReader(self.parquet[form]), columns=columns, use_threads=False)
        else:
            table = vortex.open(self.path(form)).to_arrow().read_all()
        ms = (time.perf_counter() - started) * 1_000
        if table.num_rows != self.table.num_rows:
            raise ValueError(f"{table.num_rows} rows of {self.table.num_rows} were read")
        return {"ms": ms}

    def write(self, form):
        sink = pyarrow.BufferOutputStream()
        started = time.perf_counter()
        pyarrow.parquet.write_table(self.table, sink, **PARQUET[form])
        return {"ms": (time.perf_counter() - started) * 1_000}

    def json(self):
        """Moments as RFC 3339 without a fraction: the shortest there is, where they are whole seconds."""
        total = 0
        for start in range(0, self.table.num_rows, SLICE):
            part = self.table.slice(start, SLICE)
            for position, field in enumerate(part.schema):
                if pyarrow.types.is_timestamp(field.type):
                    whole = part[position].cast(pyarrow.timestamp("s"))
                    texts = pyarrow.compute.strftime(whole, format="%Y-%m-%dT%H:%M:%SZ")
                    part = part.set_column(position, field.name, texts)
            total += sum(len(json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()) + 1 for row in part.to_pylist())
        return {"bytes": total}

    def sqlite(self):
        path = self.path("sqlite")
        types = {"long": "INTEGER", "timestamp": "INTEGER", "double": "REAL", "bool": "INTEGER"}
        declared = (f'"{name}" {types.get(datasets.type_of(self.table, name), "TEXT")}' for name in self.table.column_names)
        database = sqlite3.connect(path)
        database.execute(f"CREATE TABLE t ({', '.join(declared)})")
        marks = ", ".join("?" * self.table.num_columns)
        for start in range(0, self.table.num_rows, SLICE):
            part = self.table.slice(start, SLICE)
            columns = [column.cast(pyarrow.int64()) if pyarrow.types.is_timestamp(column.type) else column for column in part.columns]
            database.executemany(f"INSERT INTO t VALUES ({marks})", zip(*(column.to_pylist() for column in columns)))
        database.commit()
        database.close()
        size = os.path.getsize(path)
        os.remove(path)
        return {"bytes": size}


def main():
    vortex.set_worker_threads(1)
    peers = Peers(*sys.argv[1:])
    commands = {name: getattr(peers, name) for name in ("prepare", "read", "write", "json", "sqlite")}
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        print(json.dumps(commands[do](**command)), flush=True)


main()
