"""Why one item of many was not answered or accepted. Knows nothing of which route it was sent to."""

import msgspec


class Refused(msgspec.Struct, frozen=True):
    """A stable code and a sentence that says what to try; never a value from the input."""

    code: str
    message: str
