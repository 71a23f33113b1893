"""OpenAPI parts of our routes: request bodies, answers and the problems an operation may answer with. Knows structs
and examples; handles no request."""

from collections.abc import Mapping
from typing import Any

import msgspec

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
_TITLES: dict[int, str] = {
    304: "Not modified: the representation named by If-None-Match is still current",
    400: "The request cannot be read, or names something that does not exist here",
    401: "No key, or one that is unknown or revoked",
    403: "The key's role does not reach this",
    404: "There is no such thing",
    409: "The state of things does not allow it",
    410: "It is gone: the person it was about was erased",
    412: "If-Match names an older version; read again and retry",
    415: "The content type is not one this operation reads",
    422: "The request is readable, but a value in it is not usable",
    428: "If-Match is required, because the change widens what is allowed",
    429: "Too many requests; retry after the given seconds",
    503: "A server behind this one does not answer; retry after the given seconds",
}
_RETRY = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 0}}}
_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "trace_id": {"type": "string"},
    },
}


def _inlined(node: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, components) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(components[node["$ref"].rpartition("/")[2]], components)
    return {key: _inlined(value, components) for key, value in node.items()}


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of a struct with every reference put in its place."""
    (root,), components = msgspec.json.schema_components([kind])
    result: dict[str, Any] = _inlined(root, components)
    return result


def json_body(kind: Any, example: Any, description: str = "") -> dict[str, Any]:
    """`openapi_extra` for a route that reads its body itself."""
    return _body(schema_of(kind), example, description)


def one_or_many(one: Any, many: Any, example: Any) -> dict[str, Any]:
    """The same for a body that is either a single thing or a list of them in an object."""
    return _body({"anyOf": [schema_of(one), schema_of(many)]}, example, "One report, or a list of them")


def _body(schema: dict[str, Any], example: Any, description: str) -> dict[str, Any]:
    said = {"description": description} if description else {}
    return {"requestBody": {**said, "required": True, "content": {JSON: {"schema": schema, "example": example}}}}


def answer(kind: Any, description: str, headers: tuple[str, ...] = (), media_type: str = JSON) -> dict[str, Any]:
    """One entry of `responses` for a success."""
    documented = {name: {"schema": {"type": "string"}} for name in headers}
    return {
        "description": description,
        "content": {media_type: {"schema": schema_of(kind)}},
        **({"headers": documented} if documented else {}),
    }


def _problem(status: int) -> dict[str, Any]:
    if status == 304:
        return {"description": _TITLES[status]}
    headers = {"headers": _RETRY} if status in (429, 503) else {}
    return {"description": _TITLES[status], "content": {PROBLEM_JSON: {"schema": _PROBLEM}}, **headers}


ALWAYS = (400, 401, 403, 422, 429, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented failures of an operation: those every operation has, and the given ones."""
    return {status: _problem(status) for status in sorted({*ALWAYS, *statuses})}
