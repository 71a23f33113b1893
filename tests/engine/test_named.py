"""Whom a refused event names: what an erasure must be able to find it by."""

from typing import Any

import pytest

from engine.identifiers import IdentityRules, identify
from engine.named import named_in

SECRET, RULES = b"a secret of these tests", IdentityRules()


def ids(*named: tuple[str, str]) -> set[str]:
    return {found.id for kind, value in named if (found := identify(SECRET, RULES, kind, value)) is not None}


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"userId": "u-1", "anonymousId": "a-1"}, [("user_id", "u-1"), ("anonymous_id", "a-1")]),
        ({"type": "track", "event": "", "userId": 17, "properties": {"email": "no@example.net"}}, [("user_id", "17")]),
        ({"traits": {"email": " Ann@Example.net ", "phone": "far away"}}, [("email", "ann@example.net")]),
        ({"context": {"traits": {"phone": "+4930123456"}}}, [("phone", "+4930123456")]),
        ({"context": {"device": {"id": "d", "token": "t"}}}, [("device_id", "d"), ("push_token", "t")]),
        ({"context": {"externalIds": [{"type": "crm_id", "id": "c"}, 3]}}, [("crm_id", "c")]),
        ({"mergeProperties": [{"type": "email", "value": "b@example.net"}, {}]}, [("email", "b@example.net")]),
        ({"previousId": "old"}, [("anonymous_id", "old"), ("user_id", "old")]),
        ({"userId": "null", "anonymousId": True, "traits": [], "context": "none"}, []),
        ([1, 2], []),
        (None, []),
    ],
)
def test_everybody_in_a_place_we_know_is_named(raw: Any, named: list[tuple[str, str]]) -> None:
    assert named_in(raw, SECRET, RULES) == ids(*named)
