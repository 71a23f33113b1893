"""A reader of unsubscribe headers that is not ours (PyPI `listunsub`): what it finds in ours, and what it sends."""

import importlib
import importlib.util
import os

import msgspec
import pytest

from tests.api.seed import ANN, seed
from tests.api.world import ADMIN, Rig

BASE = "https://mail.example.org"


@pytest.mark.parametrize("form", ["multipart", "urlencoded"])
async def test_it_finds_one_click_in_our_headers_and_its_request_counts(form: str) -> None:
    if importlib.util.find_spec("listunsub") is None:
        give_up = pytest.fail if os.environ.get("RAPPORT_REQUIRE_SERVERS") == "1" else pytest.skip
        give_up("the package listunsub is missing; it is one of the development dependencies")
    listunsub = importlib.import_module("listunsub")
    rig = Rig()
    await seed(rig)
    current = rig.configuration.current
    links = msgspec.structs.replace(current.signals.links, public_url=BASE, mailto="stop@example.org")
    signals = msgspec.structs.replace(current.signals, links=links)
    rig.configuration.current = msgspec.structs.replace(current, signals=signals)
    async with rig.client(ADMIN) as client:
        made = (await client.post("/v1/unsubscribe-links", json={"profiles": [ANN], "topic": "news"})).json()["links"][
            0
        ]
        headers = made["headers"]
        assert listunsub.audit(headers["List-Unsubscribe"], headers["List-Unsubscribe-Post"]) == []
        assert listunsub.is_one_click(headers["List-Unsubscribe-Post"])
        (https,) = listunsub.parse_header(headers["List-Unsubscribe"], strict=True).https
        sent = listunsub.one_click_request(https, form=form)
        path = sent.url.removeprefix(BASE)
    async with rig.client() as anybody:
        answer = await anybody.post(path, content=sent.body, headers=sent.headers)
    assert answer.status_code == 200
    assert rig.state.held[rig.id_of(ANN)].preferences == {"email": {"news": False}}
