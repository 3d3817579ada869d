"""Reads an object's metrics with Prometheus' own parser, and compares them with its JSON.

    python metrics.py <url of the worker>

Prints one line a check, and last `N passed, N failed`.
"""

import json
import math
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

OBJECT = "conformance/one"
# Figures that reading them does not change: (name in the text, group and name in JSON).
SAME = [
    ("thermocline_rows_written_total", "hot", "rowsWritten"),
    ("thermocline_sql_errors_total", "hot", "errors"),
    ("thermocline_database_bytes", "hot", "databaseBytes"),
    ("thermocline_collections", "hot", "collections"),
    ("thermocline_segments", "hot", "segments"),
    ("thermocline_pending_changes", "hot", "pendingChanges"),
    ("thermocline_cold_objects", "cold", "objects"),
    ("thermocline_cold_bytes", "cold", "bytes"),
    ("thermocline_bucket_uploads_total", "cold", "uploads"),
    ("thermocline_bucket_downloads_total", "cold", "downloads"),
    ("thermocline_bucket_in_bytes_total", "cold", "bytesIn"),
    ("thermocline_bucket_out_bytes_total", "cold", "bytesOut"),
    ("thermocline_cost_class_a_usd_total", "cost", "classAUsd"),
    ("thermocline_cost_class_b_usd_total", "cost", "classBUsd"),
    ("thermocline_cache_hits_total", "warm", "hits"),
    ("thermocline_cache_misses_total", "warm", "misses"),
    ("thermocline_cache_keys_written_total", "warm", "keysWritten"),
]


def ask(url, accept):
    request = urllib.request.Request(f"{url}/v1/{OBJECT}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def checks(url):
    """(what, whether it is right) of everything that is looked at."""
    json_type, text = ask(url, "application/json")
    figures = json.loads(text)
    text_type, text = ask(url, "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    families = list(text_string_to_metric_families(text))
    samples = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}
    yield "content types", json_type == "application/json" and text_type.startswith("text/plain; version=0.0.4")
    yield "no family or sample twice", len({family.name for family in families}) == len(families) and len(samples) == sum(
        len(family.samples) for family in families
    )
    yield "every family has a type and says what it is", all(family.type != "unknown" and family.documentation for family in families)
    label = ("object", OBJECT)
    for name, group, key in SAME:
        value = samples.get((name, (label,)))
        yield name, value is not None and math.isclose(value, figures[group][key], abs_tol=1e-12)
    for call, told in figures["cold"]["calls"].items():
        labels = (label, ("operation", call))
        failures = samples.get(("thermocline_bucket_failures_total", labels))
        count = samples.get(("thermocline_bucket_latency_seconds_count", labels))
        bounds = [
            (float(dict(found)["le"]), value)
            for (name, found), value in samples.items()
            if name == "thermocline_bucket_latency_seconds_bucket" and ("operation", call) in found
        ]
        counts = [value for _, value in sorted(bounds)]
        yield f"calls of the bucket: {call}", (failures, count) == (told["failures"], told["calls"]) and (
            counts == sorted(counts) and counts[-1] == count and len(counts) == 12
        )


def main():
    passed = failed = 0
    for what, right in checks(sys.argv[1]):
        passed, failed = passed + right, failed + (not right)
        print(f"prometheus  {what:<48}  {'ok' if right else 'FAILED'}")
    print(f"{passed} passed, {failed} failed")


main()
