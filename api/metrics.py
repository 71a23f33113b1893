"""Measurements of the HTTP surface for Prometheus. Labels are route templates, methods, statuses and codes: never a
path, a key or anything of a person."""

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import route_template
from models.parity import Parity

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REGISTRY = CollectorRegistry()
REQUESTS = Histogram(
    "rapport_http_request_duration_seconds",
    "Time from the first byte of a request to the end of its answer",
    ("method", "route", "status"),
    registry=REGISTRY,
    buckets=BUCKETS,
)
ACCEPTED = Counter("rapport_events_accepted_total", "Events the broker acknowledged", ("source",), registry=REGISTRY)
REJECTED = Counter(
    "rapport_events_rejected_total", "Events refused one by one, by reason", ("source", "code"), registry=REGISTRY
)
WITHHELD = Counter(
    "rapport_events_withheld_total",
    "Events dropped or pseudonymised because collection was refused",
    ("source", "verdict"),
    registry=REGISTRY,
)
UNATTRIBUTED = Counter(
    "rapport_outcomes_unattributed_total",
    "Tracked events naming a decision that is unknown or did not answer with their action",
    registry=REGISTRY,
)
PARITY = Gauge(
    "rapport_parity_mismatch_ratio",
    "Share of a feature's values used online that refolding the archive does not give (law 7)",
    ("feature",),
    registry=REGISTRY,
)


def note_parity(found: Parity | None) -> None:
    """The latest measurement, feature by feature."""
    for name, rate in ({} if found is None else found.features).items():
        PARITY.labels(name).set(rate.ratio)


def exposition() -> bytes:
    """Everything measured by this process, in the text format."""
    return generate_latest(REGISTRY)


class Measured:
    """Times every request under its route template."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            REQUESTS.labels(method, route_template(scope), str(status)).observe(perf_counter() - began)
