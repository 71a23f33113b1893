"""The engine's error family. Errors say what is wrong and what to try; they never carry a value from the input."""


class EngineError(Exception):
    """Base of everything the engine raises on purpose."""


class Rejected(EngineError):
    """One event cannot be accepted; its neighbours can.

    `code` is a stable machine word, `message` a sentence without personal data.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class InvalidReference(EngineError):
    """A reference to a person (`type:value`) that cannot be read."""


class InvalidCatalogue(EngineError):
    """A configuration entry that cannot be used; `path` names it (`actions[3].when`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class InvalidRequest(EngineError):
    """A question to the engine that cannot be answered as it was put."""
