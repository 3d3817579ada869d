"""The tables that are measured: real ones from the npm package vega-datasets, and columns from a seeded generator.

Each is a pyarrow table. What has no seed of its own here is the same in every run.
"""

import json
import os
import uuid

import numpy
import pyarrow
import pyarrow.compute
import pyarrow.parquet

ROWS = 1_000_000
TEXT_ROWS = 250_000
SEED = 20_261_121

WORDS = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you
were all her she there would their we him been has when who will no more if out so up said what its about than into them
can only other time new some could these two may first then do any like my now over such our man me even most made after
also did many off before must well back through years much where your way down should because long each just state those
people too mister how little good world make very year still see own work men day get here old between both life being
under three never know same last another while us might great go come since against right came take used himself few
house use place during without again home around small however found part school thought went say general once upon
every left war until always away something fact water though less public put think almost hand enough took far head yet
government system better set told nothing night end why called eyes find going look asked later knew point next program
city business give group toward days young let room within side social given present several order national possible
rather second face per among form important often things looked early white large order case become need four big
""".split()

SECTIONS = ["news", "shop", "blog", "docs", "help", "about", "sport", "travel"]
COUNTRIES = ["DE", "FR", "US", "GB", "IN", "JP", "BR", "ES", "IT", "PL", "NL", "SE"]


def weights(count):
    """Zipf's law: the n-th most frequent of `count` things occurs 1/n as often as the first."""
    ranks = 1 / numpy.arange(1, count + 1)
    return ranks / ranks.sum()


def texts(generator, rows, least, most):
    """Texts of `least` to `most` words, as frequent as words are."""
    lengths = generator.integers(least, most + 1, rows)
    chosen = iter(generator.choice(WORDS, lengths.sum(), p=weights(len(WORDS))).tolist())
    return [" ".join(next(chosen) for _ in range(length)) for length in lengths.tolist()]


def ids(_):
    return pyarrow.array([f"user-{number:06d}" for number in range(ROWS)])


def uuids(generator):
    drawn = generator.bytes(16 * ROWS)
    return pyarrow.array([str(uuid.UUID(bytes=drawn[at : at + 16], version=4)) for at in range(0, len(drawn), 16)])


def random_longs(generator):
    return pyarrow.array(generator.integers(-(2**63), 2**63, ROWS, dtype=numpy.int64))


def outliers(generator):
    """0 to 99, and one in a thousand of up to 40 bits."""
    numbers = generator.integers(0, 100, ROWS)
    rare = generator.random(ROWS) < 0.001
    numbers[rare] = generator.integers(0, 2**40, rare.sum())
    return pyarrow.array(numbers)


def millis(generator):
    """One event in about a second, never before the last."""
    steps = numpy.maximum(0, generator.normal(1_000, 200, ROWS)).astype(numpy.int64)
    return pyarrow.array(1_790_000_000_000 + numpy.cumsum(steps))


def moments(generator):
    """The same as timestamps, which have microseconds: whole milliseconds, as JavaScript's clock tells them."""
    return pyarrow.compute.multiply(millis(generator), 1_000).cast(pyarrow.timestamp("us"))


def prices(generator):
    return pyarrow.array(numpy.round(generator.lognormal(3, 1, ROWS), 2))


def random_doubles(generator):
    return pyarrow.array(generator.random(ROWS))


def rare_booleans(generator):
    return pyarrow.array(generator.random(ROWS) < 0.01)


def sparse(generator):
    """One row in twenty has a number."""
    return pyarrow.array(generator.integers(0, 10_000, ROWS), mask=generator.random(ROWS) >= 0.05)


def categories(generator):
    return pyarrow.array(generator.choice(COUNTRIES, ROWS, p=weights(len(COUNTRIES))))


def urls(generator):
    sections = generator.choice(SECTIONS, TEXT_ROWS, p=weights(len(SECTIONS))).tolist()
    numbers = generator.integers(1, 1_000_000, TEXT_ROWS).tolist()
    slugs = (text.replace(" ", "-") for text in texts(generator, TEXT_ROWS, 2, 6))
    paths = zip(sections, slugs, numbers)
    return pyarrow.array([f"https://www.example.com/{section}/{slug}-{number}.html" for section, slug, number in paths])


def free_text(generator):
    return pyarrow.array(texts(generator, TEXT_ROWS, 5, 20))


def json_texts(generator):
    countries = generator.choice(COUNTRIES, TEXT_ROWS, p=weights(len(COUNTRIES))).tolist()
    positions = generator.integers(0, 1_920, (TEXT_ROWS, 2)).tolist()
    labels = texts(generator, TEXT_ROWS, 1, 3)
    rows = zip(countries, positions, labels)
    events = ({"type": "click", "at": {"x": x, "y": y}, "country": country, "labels": label.split()} for country, (x, y), label in rows)
    return pyarrow.array([json.dumps(event, separators=(",", ":")) for event in events])


SYNTHETIC = {
    "ids": ids,
    "uuids": uuids,
    "random-longs": random_longs,
    "outliers": outliers,
    "millis": millis,
    "moments": moments,
    "prices": prices,
    "random-doubles": random_doubles,
    "rare-booleans": rare_booleans,
    "sparse": sparse,
    "categories": categories,
    "urls": urls,
    "free-text": free_text,
    "json-texts": json_texts,
}


def from_json(path):
    """A table of a JSON array of objects. Titles that are numbers become text: peers have one type a column."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            values = [value if value is None or isinstance(value, str) else str(value) for value in values]
        elif any(isinstance(value, float) for value in values):
            values = [None if value is None else float(value) for value in values]
        columns[name] = pyarrow.array(values)
    return pyarrow.table(columns)


def load(name, vega):
    """The table of this name; `vega` is the folder of the package's files."""
    if name in SYNTHETIC:
        # A generator of its own for each: one more or one less changes no other.
        generator = numpy.random.default_rng([SEED, *name.encode()])
        return pyarrow.table({name: SYNTHETIC[name](generator)})
    parquet = os.path.join(vega, f"{name}.parquet")
    if os.path.exists(parquet):
        return pyarrow.parquet.read_table(parquet)
    return from_json(os.path.join(vega, f"{name}.json"))


def type_of(table, column):
    """The type of a column, by the names that Thermocline has for it."""
    if table.column_names == ["json-texts"]:
        return "json"
    kinds = {
        pyarrow.types.is_boolean: "bool",
        pyarrow.types.is_int64: "long",
        pyarrow.types.is_float64: "double",
        pyarrow.types.is_timestamp: "timestamp",
        pyarrow.types.is_string: "string",
        pyarrow.types.is_large_string: "string",
    }
    kind = table.schema.field(column).type
    return next(name for is_kind, name in kinds.items() if is_kind(kind))
