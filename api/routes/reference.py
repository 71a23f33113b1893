"""The API reference at `/docs`, rendered from the OpenAPI document by ourselves: it needs no session, no script and
nothing from elsewhere."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response

from api.templates import render

router = APIRouter(include_in_schema=False)


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": p["name"],
            "where": p["in"],
            "required": p.get("required", False),
            "text": p.get("description") or p["schema"].get("description", ""),
        }
        for p in operation.get("parameters", [])
    ]


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    variant = schema["anyOf"][0] if "anyOf" in schema else schema
    required = variant.get("required", [])
    return [
        {"name": name, "required": name in required, "type": _type(field), "text": field.get("description", "")}
        for name, field in variant.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(option) for option in field["anyOf"]))
    return str(field.get("type", "any"))


def _body(operation: dict[str, Any]) -> dict[str, Any] | None:
    said = operation.get("requestBody")
    if said is None:
        return None
    media, content = next(iter(said["content"].items()))
    example = content.get("example")
    return {
        "media": media,
        "text": said.get("description", ""),
        "example": "" if example is None else json.dumps(example, indent=2, ensure_ascii=False),
        "fields": _fields(content.get("schema", {})),
    }


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield {
                "path": path,
                "method": method.upper(),
                "tag": (operation.get("tags") or ["other"])[0],
                "summary": operation.get("summary", ""),
                "text": operation.get("description", ""),
                "parameters": _parameters(operation),
                "body": _body(operation),
                "answers": {s: r.get("description", "") for s, r in sorted(operation["responses"].items())},
            }


def _groups(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for operation in _operations(document):
        groups.setdefault(operation["tag"], []).append(operation)
    return groups


@router.get("/docs")
async def read_reference(request: Request) -> Response:
    """Every operation with its parameters, body, example and answers."""
    document = request.app.openapi()
    values = {"info": document["info"], "groups": _groups(document), "who": None, "csrf": ""}
    return render("reference/reference.html", values)
