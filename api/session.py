"""Sessions of the pages: a signed cookie that names an API key, and a CSRF token derived from it. Knows no page and
stores nothing; a revoked key ends its sessions at once."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import msgspec
from fastapi import Request
from starlette.responses import Response

COOKIE = "rapport_session"
CSRF_HEADER = "X-CSRF-Token"
LIFETIME_MS = 8 * 3600 * 1000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Whose key signed in, and until when (ms)."""

    key: str
    until: int


def _mac(secret: bytes, use: str, data: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(secret, f"{use}\0".encode() + data, sha256)).decode().rstrip("=")


def seal(secret: bytes, session: Session) -> str:
    """The cookie's value: payload and signature."""
    payload = urlsafe_b64encode(msgspec.msgpack.encode(session)).rstrip(b"=")
    return f"{payload.decode()}.{_mac(secret, 'session', payload)}"


def unseal(secret: bytes, cookie: str, at: int) -> Session | None:
    """The session of an unexpired cookie of ours; None for anything else."""
    payload, _, mac = cookie.partition(".")
    data = payload.encode("utf-8", "replace")
    if not hmac.compare_digest(_mac(secret, "session", data).encode(), mac.encode("utf-8", "replace")):
        return None
    session = msgspec.msgpack.decode(urlsafe_b64decode(data + b"=" * (-len(data) % 4)), type=Session)
    return session if session.until > at else None


def csrf_token(secret: bytes, cookie: str) -> str:
    """The token a form or script of this session must send back."""
    return _mac(secret, "csrf", cookie.encode("utf-8", "replace"))


def is_csrf_token(secret: bytes, cookie: str, token: str) -> bool:
    return hmac.compare_digest(csrf_token(secret, cookie).encode(), token.encode("utf-8", "replace"))


def sign_in(request: Request, response: Response, sealed: str) -> None:
    """Set the session cookie; `Secure` wherever the page itself came over TLS."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, sealed, LIFETIME_MS // 1000, httponly=True, samesite="strict", secure=secure)


def sign_out(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
