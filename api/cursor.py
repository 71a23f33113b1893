"""Opaque page cursors. Knows how a place in a timeline becomes a token and back; a broken token is a 400."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from api.answers import Place
from api.errors import Problem

_DECODER = msgspec.msgpack.Decoder(Place)


def token_of(place: Place) -> str:
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def place_in(token: str) -> Place:
    """The place a token names. Raises a 400 for a token that is none of ours."""
    try:
        place: Place = _DECODER.decode(urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)))
        return place
    except (msgspec.MsgspecError, binascii.Error, UnicodeEncodeError) as error:
        message = "the cursor is not one of this API; use `next` of the previous page as it was given"
        raise Problem(400, "invalid_cursor", message) from error
