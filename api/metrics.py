"""Measurements of the HTTP surface for Prometheus. Labels are route templates, methods, statuses and codes: never a
path, a key or anything of a person."""

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import route_template
from models.parity import Parity
from models.watched import ActionFound, Watched

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
WATCHED = Gauge(
    "rapport_watch_timestamp_seconds",
    "When decisions and outcomes were looked at last, in seconds since 1970",
    registry=REGISTRY,
)
PSI = Gauge(
    "rapport_feature_psi",
    "Population stability index of a column the model uses, in the latest window with enough rows; 0.2 is a shift",
    ("feature",),
    registry=REGISTRY,
)
SCORE_PSI = Gauge(
    "rapport_score_psi", "Population stability index of the model's probabilities; 0.2 is a shift", registry=REGISTRY
)
RESPONSES = Gauge(
    "rapport_response_ratio",
    "Mean response in the latest window with enough judged decisions: expected, observed, and the interval's bounds",
    ("figure",),
    registry=REGISTRY,
)
ACTION_RESPONSE = Gauge(
    "rapport_action_response_ratio", "Mean response to an action where it was presented", ("action",), registry=REGISTRY
)
ACTION_JUDGED = Gauge(
    "rapport_action_judged_decisions",
    "Judged decisions in which an action was presented",
    ("action",),
    registry=REGISTRY,
)
EXPLORATION = Gauge(
    "rapport_exploration_ratio", "Share of decisions with a position that was drawn to learn", registry=REGISTRY
)
OPEN = Gauge("rapport_open_decisions", "Decisions whose outcome window is still open", registry=REGISTRY)
ALARMS = Gauge(
    "rapport_watch_alarms",
    "What is alarming, at most one each: columns have shifted, calibration is off, nothing is explored",
    registry=REGISTRY,
)


def note_parity(found: Parity | None) -> None:
    """The latest measurement, feature by feature."""
    for name, rate in ({} if found is None else found.features).items():
        PARITY.labels(name).set(rate.ratio)


def note_watched(found: Watched | None) -> None:
    """What became of the decisions, as it was found last."""
    for gauge in (PSI, RESPONSES, ACTION_RESPONSE, ACTION_JUDGED):
        gauge.clear()
    if found is None:
        return
    WATCHED.set(found.at / 1000)
    ALARMS.set(len(found.alarms))
    OPEN.set(found.open)
    for one in found.drift:
        if one.latest is not None:
            PSI.labels(one.name).set(one.latest)
    if found.score.latest is not None:
        SCORE_PSI.set(found.score.latest)
    if found.exploration is not None:
        EXPLORATION.set(found.exploration)
    for figure in ("expected", "observed", "low", "high") if found.judged is not None else ():
        RESPONSES.labels(figure).set(getattr(found.judged, figure))
    for action in found.actions:
        _note_action(action)


def _note_action(found: ActionFound) -> None:
    ACTION_JUDGED.labels(found.action_id).set(found.judged)
    if found.observed is not None:
        ACTION_RESPONSE.labels(found.action_id).set(found.observed)


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
