"""The running system as a client sees it: the demonstration's only way in, over HTTP. Knows paths and retries; nothing
of what is sent."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import orjson

BATCH_EVENTS = 100
OUTCOMES = 400
READERS = 8
PATIENCE_S = 60.0


class DemoFailed(Exception):
    """The demonstration cannot go on; says what happened and what to try."""


class Client:
    """One running system. `admin_key` reads and decides, `write_key` sends events."""

    def __init__(self, base_url: str, admin_key: str, write_key: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=PATIENCE_S, headers={"X-API-Key": admin_key})
        self._write = httpx.BasicAuth(write_key, "")

    def close(self) -> None:
        self._http.close()

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Segment-shaped events by `POST /v1/batch`. Raises `DemoFailed` where one is rejected."""
        for part in _cut(events, BATCH_EVENTS):
            answer = self._post("/v1/batch", {"batch": part}, auth=self._write).json()
            if answer["rejected"]:
                first = answer["rejected"][0]
                raise DemoFailed(
                    f"{len(answer['rejected'])} events were rejected, the first because: {first['message']}"
                )

    def decide(self, asks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """`POST /v1/decisions/bulk`, answers in the order of `asks`."""
        body = b"\n".join(orjson.dumps(ask) for ask in asks)
        content = {"content": body, "headers": {"Content-Type": "application/x-ndjson"}}
        lines = [orjson.loads(line) for line in self._patient("/v1/decisions/bulk", content).content.splitlines()]
        refused = [line["error"]["message"] for line in lines if "error" in line]
        if refused or len(lines) != len(asks):
            raise DemoFailed(f"a decision was refused: {refused[0] if refused else 'answers are missing'}")
        return lines

    def report(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        for part in _cut(outcomes, OUTCOMES):
            answer = self._post("/v1/outcomes", {"outcomes": part}).json()
            if answer["rejected"]:
                raise DemoFailed(f"an outcome was rejected: {answer['rejected'][0]['message']}")

    def profile(self, reference: str) -> dict[str, Any] | None:
        """`GET /v1/profiles/{ref}`; None for somebody nobody has heard of."""
        answer = self._reached(lambda: self._http.get(f"/v1/profiles/{quote(reference, safe=':')}"))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = _well(answer).json()
        return found

    def profiles(self, references: Sequence[str]) -> Iterator[dict[str, Any] | None]:
        """Many profiles, a few at a time, in order."""
        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(self.profile, references)

    def wait_until_folded(self, expected: Mapping[str, int]) -> None:
        """Until each profile of `expected` (reference -> events) has folded at least that many events."""
        deadline = time.monotonic() + PATIENCE_S
        for reference, events in expected.items():
            while _folded(self.profile(reference)) < events:
                if time.monotonic() > deadline:
                    raise DemoFailed("events do not arrive in profiles; look at `rapport doctor` and the worker's log")
                time.sleep(0.1)

    def _post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return self._patient(path, {"content": orjson.dumps(body), "headers": headers, **more})

    def _reached(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return ask()
        except httpx.TransportError as error:
            where = f"{self._http.base_url} does not answer ({type(error).__name__})"
            raise DemoFailed(f"{where}; start `rapport up` first, with the same data directory and port") from error

    def _patient(self, path: str, content: Mapping[str, Any]) -> httpx.Response:
        """Post; where the system asks for patience (429, 503), wait as long as it says and send the same again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = self._reached(lambda: self._http.post(path, **content))
            if answer.status_code not in (429, 503) or time.monotonic() > deadline:
                return _well(answer)
            time.sleep(float(answer.headers.get("Retry-After", "1")))


def _folded(profile: Mapping[str, Any] | None) -> int:
    return int(profile["version"].rpartition(".")[2]) if profile else 0


def _well(answer: httpx.Response) -> httpx.Response:
    """The answer when it is a 200. Raises `DemoFailed` with what the system itself said."""
    if answer.status_code != httpx.codes.OK:
        where = f"{answer.request.method} {answer.request.url.path.split('/profiles/')[0]}"
        raise DemoFailed(f"{where} answered {answer.status_code}: {_detail(answer)}")
    return answer


def _detail(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        said = None
    detail = said.get("detail") if isinstance(said, dict) else None
    return str(detail) if detail else "is this the address of `rapport up`?"


def _cut(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
