"""A fragment as bytes in the store: small ones plain; larger ones with UUIDs as numbers and the rest deflated with a
dictionary of the words that nearly all of them hold. Knows the byte form; nothing of where it is kept."""

import base64
import re
import zlib

import msgspec

from engine.ports import Stored

# below it deflating costs more time than the memory is worth
WORTH_IT = 384
# What is stored begins with the number of its dictionary; plain msgpack begins with an array's mark instead. Words and
# shape are part of the stored form: another choice is another number, and this one stays to read what it wrote.
FIRST = b"\x02"
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
# three fragments of usual shape, taken once, so that what stands between the words is known too
_SHAPE = base64.b64decode(
    "lJMBA80SZ88AAAGbxwc2MJSwNzd6MmY0NnpreGJuMmZqbJwHzwAAAZuslm0hzwAAAZvHBzV8g7A3N3oyZjQ2emt4Ym4yZmpsk6d1c2VyX2lkqnVzZX"
    "ItMDAwNDHPAAABm6yWbSGwN2Fjc3M3ZDYybGM3cTc0cJOlZW1haWy2YW5uLnNhbXBsZUBleGFtcGxlLm9yZ88AAAGbrJZtIbBjcnVieDV3bG82ZHBh"
    "MzZ4k6xhbm9ueW1vdXNfaWTBAM8AAAGbrJZtIYalZW1haWyUtmFubi5zYW1wbGVAZXhhbXBsZS5vcmfPAAABm6yWbSHBAaV3cml0ZaRwbGFulKdwcm"
    "VtaXVtzwAAAZuslm0hwQGld3JpdGWnY291bnRyeZSiVVPPAAABm6yWbSHBAaV3cml0Za10ZW51cmVfbW9udGhzlAfPAAABm6yWbSHBAaV3cml0Zaxt"
    "b250aGx5X2JpbGyUG88AAAGbrJZtIcEBpXdyaXRlqGxhbmd1YWdllKJlbs8AAAGbrJZtIcEBpXdyaXRlgImmZXZlbnRzk88AAAGbxwc1fAeSy0AKGE"
    "9R9jFsy0AatAqNDhxuqnBhZ2Vfdmlld3OTzwAAAZvHBzV8A5LLQAB2TkNd1yTLQAds/rKGihipcHVyY2hhc2Vzk88AAAGbtuQCDAGSyz/wAAAAAAAA"
    "yz/wAAAAAAAAq3JldmVudWUuVVNEk88AAAGbtuQCDM0PbpLLQK7cAAAAAADLQK7cAAAAAACvcHVyY2hhc2VzQHNob2Vzk88AAAGbtuQCDAGSyz/wAA"
    "AAAAAAyz/wAAAAAAAArXByb2R1Y3Rfdmlld3OTzwAAAZu3JfTPAZLLP/AAAAAAAADLP/AAAAAAAACrdmlld3NAc2hvZXOTzwAAAZu3JfTPAZLLP/AA"
    "AAAAAADLP/AAAAAAAACoY29udGFjdHOTzwAAAZvGmQkcAZLLP/AAAAAAAADLP/AAAAAAAACuY29udGFjdHMudm9pY2WTzwAAAZvGmQkcAZLLP/AAAA"
    "AAAADLP/AAAAAAAACCqGNhdGVnb3J5lKVzaG9lc88AAAGbtuQCDMECpXdyaXRlqHB1cmNoYXNllM8AAAGbtuQCDM8AAAGbtuQCDMECpXdyaXRlgJCX"
    "lc8AAAGbrJZtIcEBqGlkZW50aWZ5qGlkZW50aWZ5gJXPAAABm7bjKzPBA6RwYWdlpEhlbHCBpXRpdGxlpEhlbHCVzwAAAZu25AIMwQKldHJhY2uvT3"
    "JkZXIgQ29tcGxldGVkg6hjYXRlZ29yeaVzaG9lc6dyZXZlbnVly0BDwAAAAAAAqGN1cnJlbmN5o1VTRJXPAAABm7cl9M/BBKV0cmFja65Qcm9kdWN0"
    "IFZpZXdlZIGoY2F0ZWdvcnmlc2hvZXOVzwAAAZvGmQkcwQWldHJhY2uvU3VwcG9ydCBDb250YWN0gadjaGFubmVspXZvaWNllc8AAAGbxplXO8EGpH"
    "BhZ2WnQWNjb3VudIGldGl0bGWnQWNjb3VudJXPAAABm8cHNXzBB6RwYWdlp0NvbnRhY3SBpXRpdGxlp0NvbnRhY3SAxCRpaiMUDezsf9aLBqxpaiMo"
    "5YjFISPdHX5paj9JGWE/0SClKJEAAJSTAQPNEmfPAAABm6xfftqUsGNydWJ4NXdsbzZkcGEzNnicAs8AAAGbrF7dFc8AAAGbrF9+JoGwY3J1Yng1d2"
    "xvNmRwYTM2eJOsYW5vbnltb3VzX2lkwQDPAAABm6xe3RWAgIKmZXZlbnRzk88AAAGbrF9+JgKSyz///qUyC5x6yz////RwINooqnBhZ2Vfdmlld3OT"
    "zwAAAZusX34mApLLP//+pTILnHrLP///9HAg2iiAgJCSlc8AAAGbrF7dFcEBpHBhZ2WkSG9tZYGldGl0bGWkSG9tZZXPAAABm6xffibBAqRwYWdlqF"
    "Byb2R1Y3RzgaV0aXRsZaxPdXIgcHJvZHVjdHOAxBhpY2xA9EiEHit9zcH/aWNsan4hydlyf7+tAACUkwEAB88AAAGg08OAeJSgnAjPAAABoMe/VADP"
    "AAABoNPDgACAhqVlbWFpbJS8Y3VzdG9tZXItMDAwMDAwN0BleGFtcGxlLm5ldM8AAAGgx79UAKCld3JpdGWkcGxhbpSkcGx1c88AAAGgx79UAKCld3"
    "JpdGWnY291bnRyeZSiVVPPAAABoMe/VACgpXdyaXRlrXRlbnVyZV9tb250aHOUB88AAAGgx79UAKCld3JpdGWsbW9udGhseV9iaWxslBvPAAABoMe/"
    "VACgpXdyaXRlqGxhbmd1YWdllKJlbs8AAAGgx79UAKCld3JpdGWAhqZldmVudHOTzwAAAaDTw4AACJLLQBBV7kLv9ZjLQB8nXrgAtM+qcGFnZV92aW"
    "V3c5PPAAABoNPDgAAFkstABY89HZUK9MtAE4QI486zMqlwdXJjaGFzZXOTzwAAAaDSDAwAApLLP/gAAAAAAADLP/+icn22KuyrcmV2ZW51ZS5VU0ST"
    "zwAAAaDSDAwAzQ+MkstAp1IAAAAAAMtArr0Yv6bCNKxwdXJjaGFzZXNAYzWTzwAAAaDM5bAAAZLLP/AAAAAAAADLP/AAAAAAAACscHVyY2hhc2VzQG"
    "Mxk88AAAGg0gwMAAGSyz/wAAAAAAAAyz/wAAAAAAAAgqhjYXRlZ29yeZSiYzHPAAABoNIMDACgpXdyaXRlqHB1cmNoYXNllM8AAAGg0gwMAM8AAAGg"
    "0gwMAKCld3JpdGWAkJKVzwAAAaDHv1QAoKhpZGVudGlmeahpZGVudGlmeYCVzwAAAaDJdsgAoKRwYWdlpEhlbHCBpXRpdGxlpWJlbmNogMQAAAA="
)
_DICTIONARY = b"".join(bytes([0xA0 + len(word)]) + word.encode() for word in _WORDS) + _SHAPE
_WINDOW, _MEMORY, _LEVEL = -12, 5, 4
_DEFLATE = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
_INFLATE = zlib.decompressobj(_WINDOW, _DICTIONARY)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Stored)
# UUIDs do not deflate: each stands as 16 bytes ahead of the deflated rest, which names it by a mark no text contains.
# Where the mark is one of a number's bytes it is followed by `_ITSELF`; no UUID's number is that, or the mark.
_MARK, _ITSELF, _MOST = b"\xc1", 0xFF, 0xC1
_HEAD, _UUID_BYTES = b"\xd9\x24", 16
_UUID = re.compile(rb"\xd9\x24([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")


def pack(stored: Stored) -> bytes:
    """The bytes to keep; the same fragment always gives the same ones."""
    plain = _ENCODER.encode(stored)
    if len(plain) < WORTH_IT:
        return plain
    uuids, rest = _parted(plain)
    # copying a machine that already knows the dictionary is ten times faster than making one
    machine = _DEFLATE.copy()
    return FIRST + bytes((len(uuids) // _UUID_BYTES,)) + uuids + machine.compress(rest) + machine.flush()


def _parted(plain: bytes) -> tuple[bytes, bytes]:
    """Every UUID once, 16 bytes each, and what is left when each place of one is its number."""
    if _MARK in plain:
        plain = plain.replace(_MARK, _MARK + b"\xff")
    pieces = iter(_UUID.split(plain))
    numbers: dict[bytes, int] = {}
    rest = [next(pieces)]
    for uuid, between in zip(pieces, pieces, strict=True):
        number = numbers.setdefault(uuid, len(numbers)) if len(numbers) < _MOST else numbers.get(uuid)
        rest.append(_HEAD + uuid + between if number is None else b"\xc1%c%b" % (number, between))
    return bytes.fromhex(b"".join(numbers).replace(b"-", b"").decode()), b"".join(rest)


def unpack(raw: bytes) -> Stored:
    """The fragment that `pack` was given. Raises `msgspec.MsgspecError` for other bytes."""
    return _DECODER.decode(plain(raw))


def plain(raw: bytes) -> bytes:
    """The same as msgpack, whether it was deflated or not: what two fragments are compared by."""
    if raw[:1] != FIRST:
        return raw
    try:
        start = 2 + raw[1] * _UUID_BYTES
        return _whole(raw[2:start], _INFLATE.copy().decompress(memoryview(raw)[start:]))
    except (zlib.error, IndexError) as error:
        raise msgspec.DecodeError("the bytes are no deflated fragment") from error


def _whole(uuids: bytes, rest: bytes) -> bytes:
    """What `_parted` took apart."""
    digits = uuids.hex().encode()
    found = [digits[at : at + 32] for at in range(0, len(digits), 32)]
    texts = [b"\xd9\x24%b-%b-%b-%b-%b" % (d[:8], d[8:12], d[12:16], d[16:20], d[20:]) for d in found]
    first, *others = rest.split(_MARK)
    return first + b"".join([(_MARK if o[0] == _ITSELF else texts[o[0]]) + o[1:] for o in others])
