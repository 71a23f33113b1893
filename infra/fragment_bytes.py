"""A fragment as bytes in the store: small ones plain, larger ones deflated with a dictionary of the words that nearly
all of them hold. Knows the byte form; nothing of where it is kept."""

import base64
import zlib

import msgspec

from engine.ports import Stored

# below it deflating costs more time than the memory is worth
WORTH_IT = 512
# What is stored begins with the number of its dictionary; plain msgpack begins with an array's mark instead. Words and
# shape are part of the stored form: another choice is another number, and this one stays to read what it wrote.
FIRST = b"\x01"
_WORDS = (
    *("Live Chat Conversation Started", "Ticket Resolved", "Ticket Created", "Issue Resolved", "Issue Opened"),
    *("Complaint Filed", "Call Started", "Support Contact", "Session Started", "issueId", "topic", "title", "total"),
    *(
        "responses.presented",
        "responses.accepted",
        "responses.declined",
        "presented",
        "accepted",
        "declined",
        "clicked",
    ),
    *("agent_desktop", "decision", "outcome", "action_id", "alias", "group", "screen", "language", "en", "de"),
    *("country", "US", "DE", "tenure_months", "monthly_bill", "satisfaction", "segment", "first_name", "name", "plan"),
    *("premium", "basic", "plus", "channel", "voice", "chat", "web", "sms", "contacts.voice", "contacts", "complaints"),
    *("sessions", "product_views", "views@", "Product Viewed", "identify", "push_token", "device_id", "crm_id"),
    *("phone", "email", "user_id", "anonymous_id", "category", "value", "revenue", "currency", "USD", "EUR"),
    *("revenue.EUR", "revenue.USD", "purchases@", "purchases", "purchase", "page_views", "events", "write"),
    *("Order Completed", "track", "page"),
)
# a fragment of usual shape, taken once, so that what stands between the words is known too
_SHAPE = base64.b64decode(
    "lJMBAAfPAAABoNPDgHiUoJwIzwAAAaDHv1QAzwAAAaDTw4AAgIalZW1haWyUvGN1c3RvbWVyLTAwMDAwMDdAZXhhbXBsZS5uZXTPAAABoMe/VA"
    "CgpXdyaXRlpHBsYW6UpHBsdXPPAAABoMe/VACgpXdyaXRlp2NvdW50cnmUolVTzwAAAaDHv1QAoKV3cml0Za10ZW51cmVfbW9udGhzlAfPAAAB"
    "oMe/VACgpXdyaXRlrG1vbnRobHlfYmlsbJQbzwAAAaDHv1QAoKV3cml0ZahsYW5ndWFnZZSiZW7PAAABoMe/VACgpXdyaXRlgIamZXZlbnRzk8"
    "8AAAGg08OAAAiSy0AQVe5C7/WYy0AfJ164ALTPqnBhZ2Vfdmlld3OTzwAAAaDTw4AABZLLQAWPPR2VCvTLQBOECOPOszKpcHVyY2hhc2Vzk88A"
    "AAGg0gwMAAKSyz/4AAAAAAAAyz//onJ9tirsq3JldmVudWUuVVNEk88AAAGg0gwMAM0PjJLLQKdSAAAAAADLQK69GL+mwjSscHVyY2hhc2VzQG"
    "M1k88AAAGgzOWwAAGSyz/wAAAAAAAAyz/wAAAAAAAArHB1cmNoYXNlc0BjMZPPAAABoNIMDAABkss/8AAAAAAAAMs/8AAAAAAAAIKoY2F0ZWdv"
    "cnmUomMxzwAAAaDSDAwAoKV3cml0ZahwdXJjaGFzZZTPAAABoNIMDADPAAABoNIMDACgpXdyaXRlgJCSlc8AAAGgx79UAKCoaWRlbnRpZnmoaW"
    "RlbnRpZnmAlc8AAAGgyXbIAKCkcGFnZaRIZWxwgaV0aXRsZaViZW5jaIDEAAAA"
)
_DICTIONARY = b"".join(bytes([0xA0 + len(word)]) + word.encode() for word in _WORDS) + _SHAPE
_WINDOW, _MEMORY, _LEVEL = -12, 5, 1
_DEFLATE = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
_INFLATE = zlib.decompressobj(_WINDOW, _DICTIONARY)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Stored)


def pack(stored: Stored) -> bytes:
    """The bytes to keep; the same fragment always gives the same ones."""
    plain = _ENCODER.encode(stored)
    if len(plain) < WORTH_IT:
        return plain
    # copying a machine that already knows the dictionary is ten times faster than making one
    machine = _DEFLATE.copy()
    return FIRST + machine.compress(plain) + machine.flush()


def unpack(raw: bytes) -> Stored:
    """The fragment that `pack` was given. Raises `msgspec.MsgspecError` for other bytes."""
    return _DECODER.decode(plain(raw))


def plain(raw: bytes) -> bytes:
    """The same as msgpack, whether it was deflated or not: what two fragments are compared by."""
    if raw[:1] != FIRST:
        return raw
    try:
        return _INFLATE.copy().decompress(memoryview(raw)[1:])
    except zlib.error as error:
        raise msgspec.DecodeError("the bytes are no deflated fragment") from error
