"""The nodes of a Ray cluster, as they come, are drained and go: what each offers, and whether it is fit for jobs.

Every node is asked once by a small task on it: which hardware it is, whether it sees the store, which code it runs.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray._private.state import state
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.errors import BadInput
from bench.execute import Site
from bench.job import library_versions
from bench.processor import CAP, CHECKED, prepare
from cluster.hardware import Offer
from cluster.placement import Node
from cluster.ray_start import alive_nodes, node_name, our_code

LOOK_SECONDS = 1.0  # between two looks at the cluster
ANSWER_SECONDS = 90.0  # that a node is given to answer: it must start a worker and unpack our code first
GONE_SECONDS = 30.0  # so long a node that a job's end has shown to be lost is none, whatever Ray lists
TROUBLE_SECONDS = 60.0  # so long after a node was lost, one that can do its work may yet come back
MEASURES = "paredown-measures"  # label of a node that is to be its class's measuring node, with the value "true"
PROCESSOR = "paredown-processor.json"  # in the folder of Ray's session, which a machine's nodes share
PREEMPTED = ("preempt", "drain")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says of itself."""

    offer: Offer
    gpu_memory: int
    code: str
    versions: dict[str, str]  # of the libraries that stand in the keys of results
    sees_store: bool
    unseen: str | None  # the first path that jobs read and that is not there
    environment: dict[str, str]  # what `bench.processor.prepare` has found out: other workers there need not


def ask(store: Path | None, store_id: str, paths: Sequence[str]) -> Answer:
    """Runs on a node: what it is, whether the folder `store` is there and is the store of that id, and the paths."""
    here: Any = ray._private.worker.global_worker.node
    found = _prepared(Path(here.get_session_dir_path()) / PROCESSOR)
    sees = store is None or _is_store(store, store_id)
    unseen = next((path for path in paths if not Path(path).exists()), None)
    return Answer(_offer(), _gpu_memory(), our_code(), released(), sees, unseen, found)


def released() -> dict[str, str]:
    """Versions of the libraries that stand in keys, without what they were built for: one node may have a GPU."""
    return {name: found.partition("+")[0] for name, found in library_versions().items()}


def _prepared(kept: Path) -> dict[str, str]:
    """Prepare this process for its CPU; what was found out is kept for the next driver, who asks in new processes."""
    with suppress(OSError, ValueError):
        known: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
        os.environ.update(known)
        return known
    prepare()
    found = {name: os.environ[name] for name in (CAP, CHECKED) if name in os.environ}
    draft = kept.with_name(f"{kept.name}-{os.getpid()}")
    with suppress(OSError):
        draft.write_text(json.dumps(found), encoding="utf-8")
        draft.replace(kept)
    return found


def _offer() -> Offer:
    """The hardware classes of this node."""
    from bench.measure.conditions import cpu_quota, hardware_class

    gpu = None
    with suppress(Exception):  # no GPU here, or none that can be asked
        gpu = hardware_class(1, "cuda")
    return Offer(tuple(hardware_class(threads) for threads in range(1, math.ceil(cpu_quota()) + 1)), gpu)


def _gpu_memory() -> int:
    """Bytes of the smallest card; 0 where there is none or it cannot be told."""
    try:
        import pynvml  # type: ignore[import-untyped]

        pynvml.nvmlInit()
        cards = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return min((int(pynvml.nvmlDeviceGetMemoryInfo(card).total) for card in cards), default=0)
    except Exception:  # noqa: BLE001 - no driver, no library, no right to ask
        return 0


def _is_store(store: Path, store_id: str) -> bool:
    try:
        found: dict[str, Any] = json.loads((store / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found.get("id") == store_id


def on_node(function: Callable[..., Any], node_id: str, *arguments: Any) -> ray.ObjectRef[Any]:
    """Run a function on one node, now, beside whatever runs there."""
    remote: Any = ray.remote(function)
    strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
    found: ray.ObjectRef[Any] = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote(
        *arguments
    )
    return found


def of_site(site: Site) -> tuple[Path | None, str]:
    """The store's folder and its id, by which nodes tell whether they see it; nothing where it lies in a bucket."""
    store = site.artefacts.parent
    if site.bucket is not None:
        return None, ""
    try:
        found: dict[str, Any] = json.loads((store / "store.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, ""
    return store, str(found.get("id", ""))


@dataclass
class Asked:
    """A node that has not answered yet."""

    reference: ray.ObjectRef[Any]
    since: float = field(default_factory=time.monotonic)


class Nodes:
    """The cluster as this driver sees it.

    `fit` are the nodes that take jobs, by node_id; `unfit` says in a sentence why another one does not, by its name.
    `lost_at` is when one was last seen to have gone, on the monotonic clock.
    """

    def __init__(self, store: Path | None = None, store_id: str = "", paths: Sequence[str] = ()) -> None:
        self._store, self._store_id, self._paths = store, store_id, tuple(paths)
        self._asked: dict[str, Asked] = {}
        self._known: dict[str, Node] = {}
        self._looked = -math.inf
        self._gone: dict[str, float] = {}  # when a job's end showed that a node was lost, by node_id
        self.lost_at = -math.inf
        self.fit: dict[str, Node] = {}
        self.draining: frozenset[str] = frozenset()
        self.taken_back: set[str] = set()  # nodes that were ever seen to drain, or died preempted
        self.unfit: dict[str, str] = {}
        self.offers: dict[str, Offer] = {}  # by node_id
        self.environments: dict[str, dict[str, str]] = {}  # of workers, by node_id

    def begin(self) -> None:
        """Wait until every node has answered. Raises BadInput where one cannot be used, or none is there."""
        self.look(force=True)
        while self._asked:
            references = [asked.reference for asked in self._asked.values()]
            ray.wait(references, num_returns=len(references), timeout=0.5)
            self.look(force=True)
        if self.unfit:
            raise BadInput(next(iter(self.unfit.values())))
        if not self.fit:
            raise BadInput("The Ray cluster has no node that takes jobs: start one with at least one CPU.")

    def look(self, *, force: bool = False) -> bool:
        """Take in what has changed, at most once a second. Returns whether other nodes take jobs than before.

        Raises ClusterLost where this process's node is none of them any more.
        """
        if not force and time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        gone = {node_id for node_id, at in self._gone.items() if self._looked - at < GONE_SECONDS}
        alive = {node_id: row for node_id, row in alive_nodes().items() if node_id not in gone}
        self.draining = frozenset(state.get_draining_nodes())
        self.taken_back |= self.draining
        for node_id, row in alive.items():
            if node_id not in self._known and node_id not in self._asked and row["Resources"].get("CPU"):
                self._asked[node_id] = Asked(on_node(ask, node_id, self._store, self._store_id, self._paths))
        for node_id in list(self._asked):
            self._hear(node_id, alive.get(node_id))
        if self._known.keys() - alive.keys():
            self.lost_at = time.monotonic()
        self._known = {node_id: node for node_id, node in self._known.items() if node_id in alive}
        before = self.fit
        self.fit = {i: n for i, n in self._known.items() if n.cpus and i not in self.draining}
        return before != self.fit

    def lose(self, node_id: str) -> None:
        """Take in that a node is lost, as the end of a job on it shows. Ray may list it for seconds yet.

        Whatever is pinned to it until then fails at once, and would have used up its attempts before the next look.
        """
        self._gone[node_id] = time.monotonic()
        self.look(force=True)

    def _hear(self, node_id: str, row: dict[str, Any] | None) -> None:
        """Take in a node's answer, if it is there."""
        asked = self._asked[node_id]
        late = time.monotonic() - asked.since > ANSWER_SECONDS
        if row is not None and not late and not ray.wait([asked.reference], timeout=0)[0]:
            return
        del self._asked[node_id]
        if row is None:
            return
        name = node_name(row["NodeManagerHostname"], node_id)
        try:
            answer: Answer = ray.get(asked.reference, timeout=0)
        except (RayError, ModuleNotFoundError) as error:
            words = " ".join(str(error).split())[-300:] or type(error).__name__
            self._refuse(node_id, name, f"The node {name} cannot run this project's code ({words}): mend or remove it.")
            return
        sentence = self._objection(name, answer)
        if sentence is not None:
            self._refuse(node_id, name, sentence)
            return
        self.offers[node_id] = _offered(row, answer)
        self._known[node_id] = _node(node_id, name, row, answer.gpu_memory, self.offers[node_id])
        self.environments[node_id] = answer.environment

    def _objection(self, name: str, answer: Answer) -> str | None:
        """Why a node takes no jobs, None where it may."""
        if answer.code != our_code():
            return (
                f"The node {name} runs version {answer.code[:10]} of paredown and this driver {our_code()[:10]}: "
                "install the same one on every node, or none, so that the driver's is shipped."
            )
        here = released()
        different = [f"{n} {found} (here {here[n]})" for n, found in answer.versions.items() if found != here[n]]
        if different:
            return (
                f"The node {name} has {' and '.join(different)}, and results of different versions never share a key: "
                "install the same ones on every node, with -c constraints.txt."
            )
        if not answer.sees_store:
            return (
                f"The node {name} does not see the results folder {self._store}: give --store a folder that every "
                "node mounts at the same path, or an s3:// address."
            )
        if answer.unseen is not None:
            return (
                f"The node {name} does not see {answer.unseen}, which the sweep reads: put it into a folder that every "
                "node mounts at the same path, and name it by that path."
            )
        return None

    def _refuse(self, node_id: str, name: str, sentence: str) -> None:
        self.unfit[name] = sentence
        self._known[node_id] = Node(node_id, name, 0.0, 0)  # asked once; takes nothing

    @property
    def offered(self) -> list[Offer]:
        """What each node that takes jobs offers."""
        return [self.offers[node_id] for node_id in self.fit]

    def hosts(self) -> set[str]:
        """Names of the machines whose nodes take jobs."""
        return {node.host.rpartition("/")[0] for node in self.fit.values()}

    def in_trouble(self) -> bool:
        """Whether a node was lost, or is being asked, so that what fits nowhere now may fit soon."""
        return bool(self._asked) or time.monotonic() - self.lost_at < TROUBLE_SECONDS

    def was_taken_back(self, node_id: str) -> bool:
        """Whether a node that has gone had been drained or preempted, as its death says."""
        if node_id in self.taken_back:
            return True
        rows: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        row: dict[str, Any] = next((r for r in rows if r["NodeID"] == node_id), {})
        reason = f"{row.get('DeathReason', '')} {row.get('DeathReasonMessage', '')}".lower()
        return any(word in reason for word in PREEMPTED)

    def is_alive(self, node_id: str) -> bool:
        """Whether Ray still counts on the node."""
        return any(r["NodeID"] == node_id and r["Alive"] for r in ray.nodes())  # type: ignore[no-untyped-call]


def _offered(row: dict[str, Any], answer: Answer) -> Offer:
    """What a node offers as Ray counts it: a card that Ray does not give out is none."""
    return answer.offer if row["Resources"].get("GPU") else replace(answer.offer, gpu=None)


def _node(node_id: str, name: str, row: dict[str, Any], gpu_memory: int, offer: Offer) -> Node:
    resources = row["Resources"]
    return Node(
        node_id,
        name,
        cpus=float(resources.get("CPU", 0)),
        memory=int(resources.get("memory", 0)),
        gpus=int(resources.get("GPU", 0)),
        gpu_memory=gpu_memory,
        hardware=offer.classes,
        measures=(row.get("Labels") or {}).get(MEASURES) == "true",
    )
