"""How many drivers share a cluster."""

from __future__ import annotations

import pytest

from cluster.ray_share import Share
from tests.cluster.conftest import Cluster
from tests.cluster.processes import until

pytestmark = pytest.mark.cluster


def test_drivers_count_each_other_while_they_live_and_want_more(cluster: Cluster) -> None:
    del cluster
    one, two = Share(), Share()

    def counts(hungry: bool) -> tuple[int, int]:
        one.beat(hungry=hungry)
        two.beat(hungry=True)
        return one.drivers, two.drivers

    assert until(lambda: counts(hungry=True) == (2, 2), 60)
    assert until(lambda: counts(hungry=False) == (2, 1), 60)
    two.leave()

    def alone() -> bool:
        one.beat(hungry=True)
        return one.drivers == 1

    assert until(alone, 60)
    one.leave()
    three = Share()
    three.beat(hungry=True)
    assert three.drivers == 1
    three.leave()
