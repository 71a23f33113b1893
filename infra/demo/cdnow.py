"""Real purchases through the whole system: the CDNOW sample is replayed in event order, and what the profiles then say
is compared with pandas. Knows the file; the system behind the client is a stranger to it."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from engine.signals import DAY
from infra.demo.client import BATCH_EVENTS, Client

FILE = Path(__file__).parent / "data" / "cdnow_sample.csv.gz"
NOON = 12 * 3_600_000
Advance = Callable[[str, int, int], None]


class Summary(msgspec.Struct, frozen=True):
    """One customer: purchases, their sum in minor units, and the day of the last one (YYYY-MM-DD)."""

    purchases: int
    revenue: int
    last: str


class Compared(msgspec.Struct, frozen=True):
    """What pandas says of one customer and what the profile says; None where there is no profile."""

    customer_id: str
    expected: Summary
    found: Summary | None


class Replayed(msgspec.Struct, frozen=True):
    """What came of it, customer by customer. `seconds` is the sending alone."""

    events: int
    compared: tuple[Compared, ...]
    seconds: float

    @property
    def revenue(self) -> int:
        return sum(one.expected.revenue for one in self.compared)

    @property
    def differences(self) -> tuple[Compared, ...]:
        """The profiles that do not say what pandas says; empty when all are right."""
        return tuple(one for one in self.compared if one.found != one.expected)


def purchases(path: Path = FILE) -> pd.DataFrame:
    """The file in event order with `line`, its line number (the first purchase is on line 2), and `minor`, the value
    in minor units. Customer ids stay text: they have leading zeros."""
    frame = pd.read_csv(path, dtype={"customer_id": str, "date": str, "value": str})
    frame["line"] = range(2, len(frame) + 2)
    frame["minor"] = (frame["value"].astype(float) * 100).round().astype("int64")
    # 21 rows are exact duplicates of others; each line is a purchase of its own
    return frame.sort_values(["date", "line"], kind="stable")


def events(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """One `Order Completed` per line; noon, because the file knows days only."""
    for row in frame.itertuples():
        day = str(row.date)
        yield {
            "type": "track",
            "event": "Order Completed",
            "userId": row.customer_id,
            "messageId": f"cdnow-{row.line}",
            "timestamp": f"{day[:4]}-{day[4:6]}-{day[6:]}T12:00:00Z",
            "properties": {
                "value": float(str(row.value)),
                "currency": "USD",
                "quantity": int(str(row.cds)),
                "products": [{"category": "music"}],
            },
        }


def expected(frame: pd.DataFrame) -> dict[str, Summary]:
    """What pandas says about every customer."""
    grouped = frame.groupby("customer_id").agg(n=("line", "size"), total=("minor", "sum"), last=("date", "max"))
    return {
        str(row.Index): Summary(int(str(row.n)), int(str(row.total)), _day(str(row.last)))
        for row in grouped.itertuples()
    }


def _day(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"


def summary_of(profile: Mapping[str, Any], now: int) -> Summary:
    """What a profile answer says; its recency, in days before `now` (ms), leads to noon of the last day."""
    signals = profile["signals"]
    last = datetime.fromtimestamp((now - signals["purchases_days"] * DAY) / 1000, UTC)
    return Summary(int(signals["purchases_total"]), int(signals["revenue_usd_total"]), last.date().isoformat())


def compare(client: Client, wanted: Mapping[str, Summary], clock: Callable[[], int]) -> Iterator[Compared]:
    """Read every profile over HTTP."""
    found = client.profiles([f"user_id:{customer}" for customer in wanted])
    for (customer, summary), profile in zip(wanted.items(), found, strict=True):
        yield Compared(customer, summary, None if profile is None else summary_of(profile, clock()))


def replay(client: Client, clock: Callable[[], int], advance: Advance, path: Path = FILE) -> Replayed:
    """Send every purchase, wait until the last ones are folded, and compare. Sending it twice changes nothing for a
    day: the line number is the message id."""
    frame = purchases(path)
    sent, started = list(events(frame)), clock()
    for start in range(0, len(sent), BATCH_EVENTS):
        client.send(sent[start : start + BATCH_EVENTS])
        advance("purchases sent", min(start + BATCH_EVENTS, len(sent)), len(sent))
    seconds = (clock() - started) / 1000
    wanted = expected(frame)
    latest = [str(event["userId"]) for event in sent[-BATCH_EVENTS:]]
    client.wait_until_folded({f"user_id:{customer}": wanted[customer].purchases for customer in latest})
    compared = []
    for one in compare(client, wanted, clock):
        compared.append(one)
        advance("profiles compared", len(compared), len(wanted))
    return Replayed(len(sent), tuple(compared), seconds)
