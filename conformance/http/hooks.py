"""What OpenAPI cannot say of the API, so that Schemathesis asks for what it means to ask for."""
import time
from urllib.parse import urljoin

import requests
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
    return min(int(value), int(time.time() * 1000) - 60_000) if str(value).isdigit() else value


@schemathesis.hook
def filter_case(context, case):
    # No text is wrong as lines: those that are no documents are counted.
    if case.operation.path.endswith("/import") and isinstance(case.body, (dict, list, bool, int, float, type(None))):
        return False
    headers = {name.lower(): value for name, value in (case.headers or {}).items()}
    # A header that nobody knows is to be ignored. workerd itself leaves out headers without a value, and refuses control characters.
    sent = [str(value) for value in headers.values()]
    return "x-schemathesis-unknown-property" not in headers and all(value and value.isprintable() for value in sent)


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
    # A body that is not sent stays none.
    if isinstance(case.body, (dict, list)):
        case.body = with_whole_numbers(case.body)
    return case


@schemathesis.hook
def after_call(context, case, response):
    """While a restore or an erasure goes on nothing else is done: it is waited for."""
    if response.status_code != 202:
        return
    headers = {name: value for name, value in response.request.headers.items() if name.lower() == "authorization"}
    url, method = response.request.url, case.method
    if case.operation.path.endswith("/restore"):
        url, method = urljoin(url, response.headers["location"][0]), "GET"
    for _ in range(100):
        if requests.request(method, url, headers=headers, timeout=10).json().get("state") != "running":
            return
        time.sleep(0.1)
