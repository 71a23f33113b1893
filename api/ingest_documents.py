"""What the OpenAPI document says about the ingest door: bodies are any JSON stock clients send, so schemas name what
is understood and forbid nothing."""

from typing import Any

JSON = "application/json"
_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "identify": {"userId": "u-1", "traits": {"email": "ann@example.org", "plan": "basic"}},
    "track": {"userId": "u-1", "event": "Order Completed", "properties": {"total": 25.0, "currency": "USD"}},
    "page": {"anonymousId": "a-1", "name": "Pricing", "properties": {"path": "/pricing"}},
    "screen": {"userId": "u-1", "name": "Home"},
    "group": {"userId": "u-1", "groupId": "acme", "traits": {"industry": "telecom"}},
    "alias": {"userId": "u-1", "previousId": "a-1"},
    "merge": {"mergeProperties": [{"type": "user_id", "value": "u-1"}, {"type": "email", "value": "ann@example.org"}]},
}
_REQUIRED: dict[str, list[str]] = {
    "track": ["event"],
    "group": ["groupId"],
    "alias": ["userId", "previousId"],
    "merge": ["mergeProperties"],
}
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "messageId": _TEXT,
        "userId": _TEXT,
        "anonymousId": _TEXT,
        "previousId": _TEXT,
        "groupId": _TEXT,
        "event": _TEXT,
        "name": _TEXT,
        "timestamp": {"type": "string", "format": "date-time"},
        "traits": _OBJECT,
        "properties": _OBJECT,
        "context": _OBJECT,
        "mergeProperties": {"type": "array", "items": _OBJECT},
    },
}
_REJECTED: dict[str, Any] = {
    "type": "object",
    "required": ["index", "messageId", "code", "message"],
    "properties": {"index": {"type": "integer"}, "messageId": _TEXT, "code": _TEXT, "message": _TEXT},
}
_TAKEN: dict[str, Any] = {
    "type": "object",
    "required": ["success", "accepted", "rejected"],
    "properties": {
        "success": {"const": True},
        "accepted": {"type": "integer", "minimum": 0},
        "rejected": {"type": "array", "items": _REJECTED},
    },
}
TAKEN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The log has acknowledged every accepted event; the others are listed with their reason",
        "content": {JSON: {"schema": _TAKEN}},
    }
}
CONFIGURATION: dict[int | str, dict[str, Any]] = {
    200: {"description": "The client's configuration", "content": {JSON: {"schema": _OBJECT}}}
}
_SECURITY: list[dict[str, list[str]]] = [{"WriteKey": []}, {"ApiKey": []}, {"Bearer": []}]
SCHEMES: dict[str, Any] = {
    "WriteKey": {"type": "http", "scheme": "basic", "description": "The write key as user name, no password"},
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"security": _SECURITY, "requestBody": {"required": True, "content": content}}


def single(kind: str) -> dict[str, Any]:
    """The body of a single call."""
    schema = {**_EVENT, "required": _REQUIRED.get(kind, [])}
    return _body({JSON: {"schema": schema, "example": _EXAMPLES[kind]}})


BATCH: dict[str, Any] = _body(
    {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["batch"],
                "properties": {
                    "batch": {"type": "array", "items": {"type": "object"}},
                    "context": _OBJECT,
                    "integrations": _OBJECT,
                    "sentAt": {"type": "string", "format": "date-time"},
                    "writeKey": _TEXT,
                },
            },
            "example": {"batch": [{"type": kind, **example} for kind, example in _EXAMPLES.items()]},
        }
    }
)
_CLOUDEVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "subject": _TEXT,
        "time": {"type": "string", "format": "date-time"},
        "data": {},
    },
}
_CLOUDEVENT_EXAMPLE = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop",
    "type": "Order Completed",
    "subject": "u-1",
    "data": {"total": 25.0},
}
CLOUDEVENT: dict[str, Any] = _body(
    {
        "application/cloudevents+json": {"schema": _CLOUDEVENT, "example": _CLOUDEVENT_EXAMPLE},
        "application/cloudevents-batch+json": {
            "schema": {"type": "array", "items": _CLOUDEVENT},
            "example": [_CLOUDEVENT_EXAMPLE],
        },
    }
)
