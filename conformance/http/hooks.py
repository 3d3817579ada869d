"""What OpenAPI cannot say of the API, so that Schemathesis asks for what it means to ask for."""
import time

import schemathesis

# Parameters that are right each by itself and wrong together; the second one is left out.
EXCLUSIVE = [("after", "consumer"), ("asOf", "tiers")]
# What only an answer gives. What is made up is asked for by the cases that are meant to be wrong.
OPAQUE = ["cursor", "pageToken"]
WAIT_MAX_MS = 50


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def is_meant_to_be_right(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def with_whole_numbers(value):
    """JSON Schema takes 5.0 for an integer; the API, which keeps the text of numbers, does not."""
    if isinstance(value, dict):
        return {key: with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def moment(value):
    """The future is well-formed and refused."""
    return min(value, int(time.time() * 1000) - 60_000) if isinstance(value, int) else value


@schemathesis.hook
def filter_case(context, case):
    # A header that nobody knows is to be ignored, and an unknown version of a cookie, too.
    return "x-schemathesis-unknown-property" not in {name.lower() for name in case.headers or {}}


@schemathesis.hook
def map_case(context, case):
    query = case.query if isinstance(case.query, dict) else None
    if query and str(query.get("waitMs", "")).isdigit():
        query["waitMs"] = min(int(query["waitMs"]), WAIT_MAX_MS)
    if not is_meant_to_be_right(case):
        return case
    for name in OPAQUE:
        if query:
            query.pop(name, None)
        if isinstance(case.body, dict) and case.operation.path.endswith("/query"):
            case.body.pop(name, None)
    for first, second in EXCLUSIVE:
        if query and first in query:
            query.pop(second, None)
    if query and "asOf" in query:
        query["asOf"] = moment(query["asOf"])
    if case.media_type in ("application/json", "application/merge-patch+json"):
        case.body = with_whole_numbers(case.body)
    return case
