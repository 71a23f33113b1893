"""What every adapter of a port must do, whatever it stands on. A backend joins a suite by saying how it is opened."""

from contextlib import AbstractAsyncContextManager

from engine.consent import DENIED, GRANTED, Held, Statement
from engine.ports import ApiKey, ConsentChange, Consents, Entry, Keys, Queues

YES, NO = Statement(GRANTED, 1000, "page"), Statement(DENIED, 2000, "page")


class ConsentsSuite:
    """`engine.ports.Consents`."""

    def opened(self) -> AbstractAsyncContextManager[Consents]:
        raise NotImplementedError

    async def test_who_said_nothing_holds_nothing(self) -> None:
        async with self.opened() as consents:
            assert await consents.held(["nobody"]) == {}
            assert await consents.held([]) == {}

    async def test_a_statement_is_visible_when_write_returns(self) -> None:
        async with self.opened() as consents:
            await consents.write({"a": ConsentChange({"marketing": YES}), "b": ConsentChange({"analytics": NO})})
            found = await consents.held(["a", "b", "c"])
        assert {i: held.statements for i, held in found.items()} == {
            "a": {"marketing": (YES,)},
            "b": {"analytics": (NO,)},
        }

    async def test_a_later_statement_replaces_and_an_older_one_does_not(self) -> None:
        async with self.opened() as consents:
            await consents.write({"a": ConsentChange({"marketing": YES})})
            await consents.write({"a": ConsentChange({"marketing": NO})})
            await consents.write({"a": ConsentChange({"marketing": YES})})
            assert (await consents.held(["a"]))["a"].statements == {"marketing": (NO,)}

    async def test_at_the_same_moment_a_no_stands_against_a_yes(self) -> None:
        yes = Statement(GRANTED, NO.at, "page")
        async with self.opened() as consents:
            await consents.write({"a": ConsentChange({"marketing": NO}), "b": ConsentChange({"marketing": yes})})
            await consents.write({"a": ConsentChange({"marketing": yes}), "b": ConsentChange({"marketing": NO})})
            found = await consents.held(["a", "b"])
        assert [held.statements["marketing"] for held in found.values()] == [(NO,), (NO,)]

    async def test_an_empty_setting_removes_it(self) -> None:
        async with self.opened() as consents:
            await consents.write({"a": ConsentChange(settings={"time_zone": "UTC", "language": "de"})})
            await consents.write({"a": ConsentChange(settings={"time_zone": ""})})
            assert (await consents.held(["a"]))["a"].settings == {"language": "de"}

    async def test_preferences_and_settings_are_kept_beside_each_other(self) -> None:
        change = ConsentChange(preferences={"email": {"news": False, "all": True}}, settings={"time_zone": "UTC"})
        async with self.opened() as consents:
            await consents.write({"a": change})
            await consents.write({"a": ConsentChange(preferences={"sms": {"all": False}})})
            held = (await consents.held(["a"]))["a"]
        assert held.preferences == {"email": {"news": False, "all": True}, "sms": {"all": False}}
        assert held.settings == {"time_zone": "UTC"}

    async def test_each_change_raises_the_version_and_none_leaves_it(self) -> None:
        async with self.opened() as consents:
            versions = []
            for change in (ConsentChange({"marketing": NO}), ConsentChange({"marketing": YES}), ConsentChange()):
                await consents.write({"a": change})
                versions.append((await consents.held(["a"])).get("a", Held()).version)
        assert versions == [versions[0]] * 3
        assert versions[0] > 0


class QueuesSuite:
    """`engine.ports.Queues`; a backend also says how an entry gets in."""

    def opened(self) -> AbstractAsyncContextManager[Queues]:
        raise NotImplementedError

    async def put(self, queues: Queues, entries: list[Entry]) -> None:
        raise NotImplementedError

    async def test_a_queue_nobody_filled_is_empty(self) -> None:
        async with self.opened() as queues:
            assert await queues.entries("retention", 10) == ([], 0)

    async def test_pages_come_highest_priority_first(self) -> None:
        entries = [Entry(f"p{n}", "retention", float(n), "voice", "call", ({"code": "x"},), n, n) for n in range(5)]
        async with self.opened() as queues:
            await self.put(queues, entries)
            first, total = await queues.entries("retention", 2)
            second, _ = await queues.entries("retention", 2, 2)
            beyond, _ = await queues.entries("retention", 2, 9)
        assert [e.profile_id for e in (*first, *second)] == ["p4", "p3", "p2", "p1"]
        assert (first[0], total, beyond) == (entries[4], 5, [])


class KeysSuite:
    """`engine.ports.Keys`; a backend opens with an agent's key `agent-secret` in it and can revoke it."""

    def opened(self) -> AbstractAsyncContextManager[Keys]:
        raise NotImplementedError

    def revoke(self, keys: Keys, name: str) -> bool:
        raise NotImplementedError

    async def test_only_the_secret_finds_a_key(self) -> None:
        async with self.opened() as keys:
            assert await keys.find("agent-secret") == AGENT
            assert await keys.find("desk") is None
            assert await keys.find("") is None

    async def test_a_session_finds_it_by_name(self) -> None:
        async with self.opened() as keys:
            assert await keys.named("desk") == AGENT
            assert await keys.named("agent-secret") is None

    async def test_a_revoked_key_is_gone_both_ways(self) -> None:
        async with self.opened() as keys:
            assert self.revoke(keys, "desk")
            assert not self.revoke(keys, "desk")
            assert (await keys.find("agent-secret"), await keys.named("desk")) == (None, None)


AGENT = ApiKey("desk", "agent", ("service", "personalization"))
