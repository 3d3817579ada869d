"""Attaches PyIceberg to the worker's REST catalogue by a URL and a token, and compares every row with what was put.
Polars reads the tables that PyIceberg has loaded, with its own client of S3.

    python catalog.py <url of the worker> <warehouse folder> <expected.json>

Everything goes through a proxy that counts: which requests there were, whether they named ranges, how many bytes came. The
warehouse folder, a copy of the bucket, is for the expectations alone; both read through the worker.

Prints one line a check and table, the differences found, and last `N passed, N failed`.
"""

import http.client
import http.server
import json
import os
import sys
import threading
import urllib.parse
import warnings

from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue, EqualTo

from readers import MAX_SHOWN, Table, check_filters

NAMESPACE = ("conformance", "one")
# A table with a column of long texts, which a scan of the others need not fetch.
WIDE = "wide"


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on, and keeps (method, path, range, status, bytes) of each."""

    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.target = urllib.parse.urlsplit(target).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def taken(self):
        """What was seen since the last time."""
        seen, self.seen = self.seen, []
        return seen


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        # The Host header stays: the catalogue names its S3 endpoint by it.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection.request(self.command, self.path, body or None, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        self.server.seen.append((self.command, self.path, self.headers.get("Range"), answer.status, len(content)))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        if answer.getheader("Content-Length") is None and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = forward

    def log_message(self, *_):
        pass


def attach(url, **properties):
    """The catalogue, by its URL and a token alone."""
    return load_catalog("worker", type="rest", uri=f"{url}/iceberg", token="any", **properties)


def raised(kind, call):
    try:
        call()
    except kind:
        return []
    return [f"expected {kind.__name__}"]


def differs(what, found, expected):
    return [] if found == expected else [f"{what}: {found!r}, expected {expected!r}"]


def check_lists(catalog, url, names):
    """Namespaces and tables, whole and by page, and what is not there."""
    listed = sorted((*NAMESPACE, name) for name in names)
    paged = attach(url, **{"rest-page-size": "1"})
    missing = (*NAMESPACE, "missing")
    return [
        *differs("types", catalog.list_namespaces(), [NAMESPACE[:1]]),
        *differs("objects", catalog.list_namespaces(NAMESPACE[:1]), [NAMESPACE]),
        *differs("tables", sorted(catalog.list_tables(NAMESPACE)), listed),
        *differs("tables by page", sorted(paged.list_tables(NAMESPACE)), listed),
        *differs("objects by page", paged.list_namespaces(NAMESPACE[:1]), [NAMESPACE]),
        *differs("a namespace that is", catalog.namespace_exists(NAMESPACE), True),
        *differs("a namespace that is not", catalog.namespace_exists(("conformance", "two")), False),
        *differs("a table that is not", catalog.table_exists(missing), False),
        *differs("views", catalog.list_views(NAMESPACE), []),
        *raised(NoSuchTableError, lambda: catalog.load_table(missing)),
        *raised(NoSuchNamespaceError, lambda: catalog.list_tables(("nobody", "nothing"))),
    ]


def read_pyiceberg(loaded, where):
    row_filter = EqualTo(*where) if where else AlwaysTrue()
    return loaded.scan(row_filter=row_filter).to_arrow().to_pylist()


def read_polars(loaded, where):
    import polars

    options = {name: value for name, value in loaded.io.properties.items() if name.startswith("s3.")}
    frame = polars.scan_iceberg(loaded, storage_options=options)
    if where:
        frame = frame.filter(polars.col(where[0]) == where[1])
    return frame.collect().to_dicts()


READERS = {"pyiceberg": read_pyiceberg, "polars": read_polars}


def check_table(catalog, proxy, reader, table):
    """(rows, filters, problems) of one table."""

    def read(table, where=None):
        return READERS[reader](catalog.load_table((*NAMESPACE, table.name)), where)

    proxy.taken()
    rows = read(table)
    problems, filters = table.check(rows), 0
    if not problems:
        problems, filters = check_filters(read, table, rows)
    files = [seen for seen in proxy.taken() if seen[1].startswith("/s3/")]
    problems += [f"{method} {path} {asked} answered {status}" for method, path, asked, status, _ in files if status not in (200, 206)]
    if rows and not any(method == "GET" and ".parquet" in path and asked for method, path, asked, *_ in files):
        problems.append("no range of a data file was fetched from the worker")
    return len(rows), filters, problems


def check_ranges(catalog, proxy):
    """A scan of some columns fetches part of the file: (bytes fetched, bytes of the file, ranges, problems)."""
    loaded = catalog.load_table((*NAMESPACE, WIDE))
    size = sum(task.file.file_size_in_bytes for task in loaded.scan().plan_files())
    proxy.taken()
    found = loaded.scan(row_filter=EqualTo("n", 1234), selected_fields=("id", "n")).to_arrow().to_pylist()
    ranges = [seen for seen in proxy.taken() if seen[0] == "GET" and ".parquet" in seen[1] and seen[3] == 206]
    fetched = sum(seen[4] for seen in ranges)
    problems = differs("the filtered row", found, [{"id": "w-01234", "n": 1234}])
    if not 0 < fetched < size / 2:
        problems.append(f"{fetched} bytes of {size} were fetched, in {len(ranges)} ranges")
    return fetched, size, len(ranges), problems


def main(url, warehouse, expected_path):
    warnings.simplefilter("ignore", DeprecationWarning)
    with open(expected_path, encoding="utf-8") as file:
        tables = [Table(os.path.abspath(warehouse), expected) for expected in json.load(file)["tables"]]
    proxy = Proxy(url)
    catalog = attach(proxy.url)
    passed = failed = 0

    def report(line, problems):
        nonlocal passed, failed
        print(f"{line}  {'ok' if not problems else 'FAILED'}", flush=True)
        for problem in problems[:MAX_SHOWN]:
            print(f"            {problem}")
        passed, failed = passed + (not problems), failed + bool(problems)

    width = max(len(table.name) for table in tables)
    report("namespaces and tables", check_lists(catalog, proxy.url, [table.name for table in tables]))
    print(f"{'reader':<10}  {'table':<{width}}  {'rows':>6}  {'filters':>7}")
    for reader in READERS:
        for table in tables:
            try:
                rows, filters, problems = check_table(catalog, proxy, reader, table)
            except Exception as error:  # A table that cannot be read is a finding, not the end.
                rows, filters, problems = 0, 0, [f"{type(error).__name__}: {str(error)[:500]}"]
            report(f"{reader:<10}  {table.name:<{width}}  {rows:>6}  {filters:>7}", problems)
    fetched, size, ranges, problems = check_ranges(catalog, proxy)
    report(f"two columns of {WIDE}: {fetched:,} of {size:,} bytes, in {ranges} ranges", problems)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
