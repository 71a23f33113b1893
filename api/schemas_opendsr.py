"""The bodies of OpenDSR, whose names and spellings are that specification's."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from api.schemas import Instant

UUID4 = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
Status = Literal["pending", "in_progress", "completed", "cancelled"]
Kind = Literal["access", "portability", "erasure"]
CallbackUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s@/?#]+([/?]\S*)?$",
        max_length=2048,
        description="an http or https address without blanks or a user name",
    ),
]
RequestUuid = Annotated[str, Meta(pattern=UUID4, description="a UUID of version 4 in lower case")]


class SupportedIdentity(msgspec.Struct, frozen=True):
    """One way of naming a person that can be matched here."""

    identity_type: str
    identity_format: str


class Discovery(msgspec.Struct, frozen=True):
    """What this processor understands. `signature` says how answers are signed; without a certificate the field that
    names one is empty."""

    api_version: str
    supported_identities: list[SupportedIdentity]
    supported_subject_request_types: list[str]
    processor_certificate: str
    signature: str
    status_callbacks: bool


class SubjectIdentity(msgspec.Struct, frozen=True):
    """One identity of the data subject."""

    identity_type: Annotated[str, Meta(max_length=64)]
    identity_value: Annotated[str, Meta(min_length=1, max_length=1024)]
    identity_format: Annotated[str, Meta(max_length=16)]


class RequestAsk(msgspec.Struct, frozen=True):
    """A data subject's request, as a controller sends it."""

    regulation: Literal["gdpr", "ccpa"]
    subject_request_id: RequestUuid
    subject_request_type: Kind
    subject_identities: Annotated[list[SubjectIdentity], Meta(min_length=1, max_length=50)]
    submitted_time: Annotated[datetime, Meta(tz=True)]
    api_version: str = ""
    status_callback_urls: Annotated[list[CallbackUrl], Meta(max_length=10)] = []
    extensions: dict[str, Any] = {}


class RequestTaken(msgspec.Struct, frozen=True):
    """The receipt for a request."""

    controller_id: str
    expected_completion_time: Instant
    received_time: Instant
    encoded_request: str
    subject_request_id: str


class RequestStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a request is. `results_url` where there is something to fetch."""

    controller_id: str
    expected_completion_time: Instant
    subject_request_id: str
    request_status: Status
    api_version: str
    results_url: str | None = None


class StatusCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told at a status_callback_url whenever the status has changed."""

    controller_id: str
    expected_completion_time: Instant
    status_callback_url: str
    subject_request_id: str
    request_status: Status
    api_version: str
    results_url: str | None = None


class RequestCancelled(msgspec.Struct, frozen=True):
    """The receipt for a cancellation."""

    controller_id: str
    subject_request_id: str
    received_time: Instant
    api_version: str


class Detail(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    domain: str
    reason: str
    message: str


class Failure(msgspec.Struct, frozen=True):
    """What is wrong, without anything from the request."""

    code: int
    message: str
    errors: list[Detail]


class Failed(msgspec.Struct, frozen=True):
    """OpenDSR's own shape of a failure."""

    error: Failure
