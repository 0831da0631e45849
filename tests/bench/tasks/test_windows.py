"""Windows and batches: one fixed order, every example once, no batch over its budget."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bench.data import Example
from bench.identity import digest
from bench.tasks.windows import batches_by_tokens, windows_of


def made(count: int) -> list[Example]:
    return [Example(i, str(i), None, "x") for i in range(count)]


def test_the_order_is_one_for_ever() -> None:
    """Another order is another task version: records of the two must never be joined."""
    windows = windows_of(made(1200))
    assert [len(w) for w in windows] == [512, 512, 176]
    order = [e.index for w in windows for e in w]
    assert sorted(order) == list(range(1200))
    assert order != sorted(order)
    assert digest(order) == "24b3d7eacf5891fb345662fe9c170c87ad32769a5cf1c9fb3a4f6a8a49aa9e2f"
    assert windows_of(made(1200)) == windows
    assert windows_of([]) == []


@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(8, 4096))
def test_batches(lengths: list[int], budget: int) -> None:
    batches = batches_by_tokens(lengths, budget)
    assert sorted(r for b in batches for r in b) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[r] for r in batch)
        assert len(batch) * longest <= budget or len(batch) == 1
        assert lengths[batch[0]] == longest
    flat = [lengths[r] for b in batches for r in b]
    assert flat == sorted(flat, reverse=True)
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * lengths[batch[0]] > budget  # one more row would not have fitted
        assert lengths[following[0]] <= lengths[batch[-1]]


def test_ties_keep_their_order() -> None:
    assert batches_by_tokens([3, 5, 3, 5, 3], 10) == [[1, 3], [0, 2, 4]]
