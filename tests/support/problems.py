"""A model of RFC 9457, to hold answers against."""

import json
import re
from typing import Any

from httpx import Response

from tests.support.project import ROOT

SCHEMA = ROOT.parent / "shared" / "schemas" / "problem.schema.json"
MEDIA_TYPE = "application/problem+json"
MEMBERS: dict[str, type[str | int]] = {
    "type": str,
    "title": str,
    "status": int,
    "detail": str,
    "instance": str,
}
# RFC 9457, section 4.2: ALPHA first, then ALPHA, DIGIT or "_", three or more.
EXTENSION = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,}")
# RFC 3986, appendix A: what may stand in a URI reference.
URI_REFERENCE = re.compile(
    r"(?:[\w\-.~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*", re.ASCII
)
CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")


def check_problem(given: Any) -> dict[str, Any]:
    """Assert that *given* is a problem, and return it."""
    assert isinstance(given, dict)
    problem: dict[str, Any] = given
    assert json.loads(json.dumps(problem, allow_nan=False)) == problem
    for name, kind in MEMBERS.items():
        assert type(problem.get(name, kind())) is kind, name
    for name in ("type", "instance"):
        assert URI_REFERENCE.fullmatch(problem.get(name, "")), problem[name]
    assert 400 <= problem["status"] <= 599
    assert problem["title"]
    assert problem["detail"]
    for name in problem.keys() - MEMBERS.keys():
        assert EXTENSION.fullmatch(name), name
    assert CODE.fullmatch(problem["code"])
    assert len(problem["code"]) <= 63
    assert type(problem["retryable"]) is bool
    # A foreign schema is not copied into the project; the model above stands alone.
    if SCHEMA.is_file():
        check_schema(problem, json.loads(SCHEMA.read_text("utf-8")))
    return problem


def check_schema(value: Any, schema: Any) -> None:
    """Assert that *value* fits *schema*, as far as the schema of problems goes."""
    kinds: dict[str, Any] = {"object": dict, "string": str, "integer": int}
    assert isinstance(value, kinds[schema["type"]])
    assert schema.keys() <= {
        *("$schema", "title", "description", "type", "format"),
        *("properties", "minimum", "maximum"),
    }
    if schema["type"] == "integer":
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if "format" in schema:
        assert schema["format"] == "uri-reference"
        assert URI_REFERENCE.fullmatch(value), value
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            check_schema(value[name], inner)


def check_answer(answer: Response) -> dict[str, Any]:
    """Assert that *answer* is a problem over HTTP, and return the problem."""
    assert answer.headers["content-type"] == MEDIA_TYPE, answer.text
    problem = check_problem(answer.json())
    assert problem["status"] == answer.status_code
    assert problem["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    assert problem["request_id"] == answer.headers["x-request-id"]
    if answer.status_code == 401:  # RFC 9110, section 15.5.2
        assert answer.headers["www-authenticate"]
    return problem
