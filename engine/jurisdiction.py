"""What laws ask for, and who is answerable for the data: plain values from configuration. Knows no person and no
consent."""

import msgspec


class Jurisdiction(msgspec.Struct, frozen=True):
    """What a law asks for: whether an unasked person counts as agreeing where a purpose does not say (`opt_out`), and
    after how many days a yes must be asked for again (0: never)."""

    opt_out: bool = False
    valid_days: int = 0
    text: dict[str, str] = {}


class Controller(msgspec.Struct, frozen=True):
    """Who is answerable for the data and what a consent receipt says of them."""

    id: str = ""
    name: str = ""
    address: str = ""
    contact: str = ""
    type: str = "dpv:DataController"
    storage_locations: tuple[str, ...] = ()
    processing_locations: tuple[str, ...] = ()
    geographic_restrictions: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    authority: str = ""
    notice: str = ""
    withdrawal: str = ""
    retention: str = ""
    data: tuple[str, ...] = ()
