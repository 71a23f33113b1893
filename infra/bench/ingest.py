"""How many events a second come in by the HTTP door of one API process, as batches of 100, beside bare FastAPI
answering the same requests with nothing."""

from pathlib import Path

from infra.bench.bed import Bed, Place, bare_server, whole
from infra.bench.client import Load, Sent, keep_bodies, send
from infra.bench.figures import Row, Say, more, percentile
from infra.bench.people import batch

BATCH, CONNECTIONS, USERS = 100, 8, 5000
FLOOR_IS = "bare FastAPI on uvicorn reading the same batches and answering {}"


async def run(place: Place, say: Say, config: Path) -> list[Row]:
    seconds = 2.0 if place.quick else 10.0
    async with whole(place, config) as bed:
        say("ingest: batches of 100 events")
        bodies = _bodies(bed, int(seconds * 400))
        sent = await send(_load(bed.settings.port, "/v1/batch", bodies, seconds, bed.settings.write_key))
        _good(sent)
        say("ingest: the floor")
        floor = await _floor(bed, bodies, seconds / 2)
    tail = percentile(sent.latencies, 99)
    note = f"{CONNECTIONS} connections; p50 {percentile(sent.latencies, 50):.1f} ms, p99 {tail:.1f} ms a batch"
    rate = BATCH * sent.answered / sent.seconds
    row = Row("ingest", "batches of 100 over HTTP", rate, "events/s", beside=FLOOR_IS, note=note)
    return [more(row, BATCH * floor)]


def _bodies(bed: Bed, count: int) -> str:
    made = [batch(number * BATCH, BATCH, USERS) for number in range(count)]
    return keep_bodies(bed.settings.data_dir, "batches", made)


def _load(port: int, path: str, bodies: str, seconds: float, key: str = "") -> Load:
    return Load(port, path, bodies, key, CONNECTIONS, seconds)


def _good(sent: Sent) -> None:
    if sent.refused() or not sent.answered:
        raise RuntimeError(f"batches were refused, so there is no figure: {sent.statuses}")


async def _floor(bed: Bed, bodies: str, seconds: float) -> float:
    async with bare_server(bed, "empty_app") as port:
        sent = await send(_load(port, "/empty", bodies, seconds))
    _good(sent)
    return sent.answered / sent.seconds
