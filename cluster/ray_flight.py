"""A job on its way through the cluster: where it was sent, where it runs, and until when it may."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.job import Job
from cluster.attempts import Begun
from cluster.placement import Lease


@dataclass
class Flight:
    """A job in flight. Its time limit counts from when a worker begins with it: a job that queues has not hung."""

    job: Job
    attempt: int
    lease: Lease
    mark: str
    began: float
    submitted: float  # on the monotonic clock
    begun: Begun | None = None
    deadline: float = math.inf
    cancelled: bool = False  # its time was over
    killed: bool = False  # on its node, because Ray could not

    @property
    def node_id(self) -> str:
        return self.begun.node_id if self.begun else self.lease.node_id
