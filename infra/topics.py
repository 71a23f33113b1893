"""The names of our topics and of Redis keys. Every key of one partition shares a hash tag, so all of it holds on a
cluster."""

from typing import Final

EVENTS: Final = "events"
INBOX: Final = "inbox"
LINKS: Final = "links"
CHANGES: Final = "changes"
REJECTS: Final = "rejects"
ALL_TOPICS: Final = (EVENTS, INBOX, LINKS, CHANGES, REJECTS)
LINK_STATE: Final = "{links}"


def topic(prefix: str, name: str) -> str:
    return f"{prefix}{name}"


def partition_counts(partitions: int) -> dict[str, int]:
    """Partitions per topic; `links` has exactly one, so that there is one writer of identity."""
    return {EVENTS: partitions, INBOX: partitions, LINKS: 1, CHANGES: partitions, REJECTS: 1}


def fragment_key(partition: int, identity: str) -> str:
    return f"{{p{partition}}}f:{identity}"


def consent_key(partition: int, identity: str) -> str:
    return f"{{p{partition}}}c:{identity}"


def index_key(partition: int, identity: str) -> str:
    return f"{{p{partition}}}i:{identity}"


def decision_key(partition: int, decision_id: str) -> str:
    return f"{{p{partition}}}d:{decision_id}"


def wiped_key(partition: int, identity: str) -> str:
    """What an erasure took from one home: for its certificate."""
    return f"{{p{partition}}}z:{identity}"


def reservations_key(partition: int, identity: str) -> str:
    """Approaches promised to one person and not made yet."""
    return f"{{p{partition}}}r:{identity}"


def counts_key(partition: int) -> str:
    return f"{{p{partition}}}x"


def tail_key(partition: int) -> str:
    return f"{{p{partition}}}t"


def outbox_key(partition: int) -> str:
    return f"{{p{partition}}}o"


def watermark_key(partition: int) -> str:
    return f"{{p{partition}}}w"


def whole_key(partition: int) -> str:
    """In which run of the server the partition's consent keys are known to miss nothing."""
    return f"{{p{partition}}}u"


def applied_key(partition: int) -> str:
    """Up to which number of the consent ledger the partition's keys have seen writes."""
    return f"{{p{partition}}}a"
