"""Another process, which all tests of saved models share: it takes longer to start than to answer."""

from collections.abc import Iterator

import pytest

from tests.fresh import Digests, another_process


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[Digests]:
    with another_process() as digests:
        yield digests
