"""What clients send during a chaos run: the same for the same seed, with everything in it that makes a profile hard to
get right. Knows the shapes of requests; nothing of how they are sent."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec

EVENTS_EACH = 100
TOGETHER = 60
LINKS_SHARE, AGAIN_SHARE, BAD_SHARE, LATE_SHARE = 0.0025, 0.03, 0.02, 0.2
ALONE_SHARE, INBOX_SHARE = 0.2, 0.5
REMEMBERED = 400
LATEST_DAYS = 25
BAD_ID = "bad-"
CATEGORIES = ("tv", "mobile", "internet", "insurance")


class Sending(msgspec.Struct, frozen=True):
    """One request. `accepts` are the message ids its answer must accept, `refuses` how many it must refuse; `reason`
    names a statement about two identifiers. A `path` of "" stands for the inbox topic."""

    path: str
    body: Any
    accepts: tuple[str, ...] = ()
    refuses: int = 0
    reason: str = ""


class Crowd:
    """People with several identifiers each, and what they do. About a hundred events fall on each."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._draw = Random(seed)
        self._people = max(count // EVENTS_EACH, 4)
        self._number = 0
        self._said: list[dict[str, Any]] = []

    def sendings(self) -> Iterator[Sending]:
        """Requests with `count` events in all, statements about identifiers among them."""
        left = self._count
        while left > 0:
            size = 1 if self._draw.random() < ALONE_SHARE else min(self._draw.randint(2, TOGETHER), left)
            left -= size
            items = [self._item() for _ in range(size)]
            yield self._request(items)
            if self._draw.random() < LINKS_SHARE * size:
                yield self._statement()

    def _request(self, items: list[dict[str, Any]]) -> Sending:
        good = [item for item in items if not _is_bad(item)]
        if len(good) == 1 == len(items):
            if self._draw.random() < INBOX_SHARE:
                return Sending("", good[0], (good[0]["messageId"],))
            return Sending(f"/v1/{good[0]['type']}", good[0], (good[0]["messageId"],))
        accepted = tuple(item["messageId"] for item in good)
        return Sending("/v1/batch", {"batch": items}, accepted, len(items) - len(good))

    def _item(self) -> dict[str, Any]:
        drawn = self._draw.random()
        if drawn < BAD_SHARE:
            return self._bad()
        if drawn < BAD_SHARE + AGAIN_SHARE and self._said:
            return self._draw.choice(self._said)
        item = self._good()
        self._said.append(item)
        del self._said[:-REMEMBERED]
        return item

    def _next(self) -> str:
        self._number += 1
        return f"{self._number:08d}"

    def _bad(self) -> dict[str, Any]:
        wrong = self._draw.choice(
            (
                {"type": "track", "event": "Nobody Did This"},
                {"type": "nonsense", "userId": "u1"},
                {"type": "alias", "userId": "u1"},
                {"type": "track", "userId": "u1"},
                {"type": "track", "event": "Never", "userId": "u1", "timestamp": "yesterday"},
            )
        )
        return {**wrong, "messageId": BAD_ID + self._next()}

    def _good(self) -> dict[str, Any]:
        number = self._draw.randrange(self._people)
        kinds = (self._order, self._issue, self._page, self._identify, self._alias, self._merge, self._known_elsewhere)
        made = self._draw.choices(kinds, (40, 8, 20, 20, 4, 3, 5))[0](number)
        made["messageId"] = "m" + self._next()
        if self._draw.random() < LATE_SHARE:
            # some of them claim to come from the future, which the door corrects
            ago = timedelta(seconds=self._draw.randint(-3600, LATEST_DAYS * 86_400))
            made["timestamp"] = (datetime.now(UTC) - ago).isoformat()
        return made

    def _cookie(self, number: int) -> str:
        return f"a{number}-{self._draw.randrange(4)}"

    def _order(self, number: int) -> dict[str, Any]:
        category = self._draw.choice(CATEGORIES)
        bought = {"revenue": self._draw.randrange(10_000) / 100, "currency": "USD", "category": category}
        return {"type": "track", "event": "Order Completed", "userId": f"u{number}", "properties": bought}

    def _issue(self, number: int) -> dict[str, Any]:
        about = {"issueId": f"i{self._draw.randrange(5)}", "topic": self._draw.choice(CATEGORIES)}
        name = self._draw.choice(("Issue Opened", "Issue Resolved"))
        return {"type": "track", "event": name, "userId": f"u{number}", "properties": about}

    def _page(self, number: int) -> dict[str, Any]:
        name = self._draw.choice(("Home", "Plans", "Help"))
        return {"type": "page", "name": name, "anonymousId": self._cookie(number)}

    def _identify(self, number: int) -> dict[str, Any]:
        # now and then somebody types another one's address
        owner = number if self._draw.random() < 0.97 else self._draw.randrange(self._people)
        traits = {"email": f"Person{owner}@example.com", "plan": f"p{self._draw.randrange(6)}"}
        return {"type": "identify", "userId": f"u{number}", "anonymousId": self._cookie(number), "traits": traits}

    def _alias(self, number: int) -> dict[str, Any]:
        return {"type": "alias", "userId": f"u{number}", "previousId": self._cookie(number)}

    def _merge(self, number: int) -> dict[str, Any]:
        both = [{"type": "email", "value": f"person{number}@example.com"}, {"type": "crm_id", "value": f"c{number}"}]
        return {"type": "merge", "mergeProperties": both}

    def _known_elsewhere(self, number: int) -> dict[str, Any]:
        elsewhere = {"id": f"loyal-{number}", "type": "loyalty_id", "collection": "users", "encoding": "none"}
        context = {"externalIds": [elsewhere], "channel": "store"}
        return {"type": "track", "event": "Store Visited", "userId": f"u{number}", "context": context}

    def _statement(self) -> Sending:
        """Two people, or one person's parts, are put together, held apart, or left open."""
        one = self._draw.randrange(self._people)
        other = one if self._draw.random() < 0.7 else self._draw.randrange(self._people)
        left = f"user_id:u{one}"
        right = self._draw.choice((f"anonymous_id:{self._cookie(other)}", f"email:person{other}@example.com"))
        kind = self._draw.choice(("link", "link", "unlink", "unsure"))
        reason = f"statement {self._next()}"
        return Sending(f"/v1/profiles/{kind}", {"left": left, "right": right, "reason": reason}, (), 0, reason)


def _is_bad(item: dict[str, Any]) -> bool:
    return str(item["messageId"]).startswith(BAD_ID)
