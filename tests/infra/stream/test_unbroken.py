"""However a topic is handed over, with pieces missing, twice, or to somebody else in between, each record is taken."""

from hypothesis import given
from hypothesis import strategies as st

from infra.stream.unbroken import Unbroken

END = 40


class Reader:
    """One worker that is handed what is left of a partition, and takes what was passed over as well."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.unbroken = Unbroken(self._read)

    async def _read(self, _partition: int, first: int, end: int) -> list[tuple[int, bytes]]:
        return [(offset, b"") for offset in range(first, end)]

    async def take(self, offset: int) -> None:
        self.taken += [at for at, _ in await self.unbroken.before(0, offset)]
        self.taken.append(offset)
        self.unbroken.done(0, offset)


@given(st.lists(st.lists(st.integers(0, END), max_size=12).map(sorted), min_size=1, max_size=6))
async def test_each_is_taken_in_order_for_the_first_time(pieces: list[list[int]]) -> None:
    reader = Reader()
    for piece in pieces:
        # a rebalance goes back to what was committed, which is never past what was taken
        reader.unbroken.begin({0: max(len(set(reader.taken)) - 3, 0)})
        for offset in piece:
            await reader.take(offset)
    first = list(dict.fromkeys(reader.taken))
    assert first == list(range(len(first)))


async def test_what_another_took_meanwhile_is_not_read_again() -> None:
    reader = Reader()
    await reader.take(0)
    reader.unbroken.begin({0: 20})
    await reader.take(20)
    await reader.take(22)
    assert reader.taken == [0, 20, 21, 22]


async def test_a_partition_of_which_nothing_was_committed_begins_at_its_beginning() -> None:
    reader = Reader()
    reader.unbroken.begin({0: None})
    await reader.take(2)
    assert reader.taken == [0, 1, 2]


async def test_what_was_handed_over_and_let_go_is_taken_again() -> None:
    reader = Reader()
    for offset in range(6):
        await reader.take(offset)
    reader.unbroken.restart({0: 3})
    await reader.take(5)
    assert reader.taken == [0, 1, 2, 3, 4, 5, 3, 4, 5]
