"""Short-lived claims that travel as text: a payload and a signature made with the installation's secret. Knows nothing
of what is claimed; every use signs differently, so that no token passes for another."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256


def _mac(secret: bytes, use: str, payload: bytes) -> bytes:
    return urlsafe_b64encode(hmac.digest(secret, f"{use}\0".encode() + payload, sha256)).rstrip(b"=")


def seal(secret: bytes, use: str, claim: bytes) -> str:
    """The claim as a token that fits a path."""
    payload = urlsafe_b64encode(claim).rstrip(b"=")
    return f"{payload.decode()}.{_mac(secret, use, payload).decode()}"


def unseal(secret: bytes, use: str, token: str) -> bytes | None:
    """The claim in a token that we sealed for this use; None for anything else."""
    text, _, mac = token.partition(".")
    payload = text.encode("utf-8", "replace")
    if not hmac.compare_digest(_mac(secret, use, payload), mac.encode("utf-8", "replace")):
        return None
    return urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))
