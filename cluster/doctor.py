"""Whether this machine, or a cluster, is fit for a sweep: what was found is judged here, each finding with what to do.

Pure but for `look_here` and `look_at`, which gather. Fit means that a sweep can run and that its numbers may be
compared; a warning says what will be slower, or noisier, or less safe than it need be.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.errors import BadInput, few
from bench.store.bucket import Bucket
from bench.store.places import Place
from cluster.examine import LIBRARIES, REFUSED, Facts, Sign, answer, examine, free_bytes, place_of, reason
from cluster.examine_nodes import Visit, visit_nodes
from cluster.ray_settings import SETTINGS
from cluster.show import Printable

Verdict = Literal["ok", "warning", "fail"]
GB = 1e9
LEAST_DISK, FEW_DISK = 1 * GB, 10 * GB
LEAST_MEMORY, FEW_MEMORY = 0.5 * GB, 2 * GB
LEAST_SHARED = 1 * GB  # of /dev/shm; containers get 64 MiB unless they ask
FULL_SHARE = 0.05  # of the disk free: below it Ray refuses to put anything on it
SKEW_WARNING, SKEW_FAIL = 1.0, 30.0  # seconds: leases and the order of attempts follow clocks
NEEDED = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked on one machine, or on the cluster as a whole."""

    check: str
    where: str
    found: str
    verdict: Verdict
    do: str = ""


def look_here(store: str | None) -> list[Finding]:
    """Examine this machine alone, without Ray."""
    facts = examine()
    findings = [check(facts.host, facts) for check in MACHINE]
    return [*findings, *_folder_here(store, facts.host), *(f for f in (_token_here(facts),) if f)]


def look_at(address: str, store: str | None) -> list[Finding]:
    """Examine every node of the cluster at `address`, from this process.

    Raises BadInput where no Ray answers there, or one of another version or token; where the store cannot be written.
    """
    from cluster import ray_settings

    ray_settings.apply()
    import ray

    from cluster import runner_ray

    place = None if store is None else place_of(store)
    runner_ray.start(address)
    try:
        visits = visit_nodes(place)
    except BadInput:
        raise
    except REFUSED as error:
        raise BadInput(
            f"The store {store} cannot be written from here ({reason(error)}): choose another with --store."
        ) from error
    finally:
        ray.shutdown()
    return judge(examine(), visits, place)


def judge(mine: Facts, visits: Sequence[Visit], place: Place | None) -> list[Finding]:
    """Everything that can be said of a cluster seen from a process with these facts."""
    seen = [(visit, visit.facts) for visit in visits if visit.facts is not None]
    findings = [
        Finding("node answers", v.name, v.silence or "no answer", "fail", "See that node's log, then start it again.")
        for v in visits
        if v.facts is None
    ]
    if not seen:
        return findings
    findings += _equal("Python", [(v.name, f.python) for v, f in seen], mine.python)
    findings += _equal("paredown's code", [(v.name, f.code) for v, f in seen], mine.code)
    for library in LIBRARIES:
        findings += _equal(library, [(v.name, f.versions[library]) for v, f in seen], mine.versions[library])
    for check in MACHINE[1:]:  # versions are compared above
        findings += [check(visit.name, facts) for visit, facts in seen]
    findings += [_enough_cpus(visit, facts) for visit, facts in seen]
    findings += [_given_cards(visit, facts) for visit, facts in seen]
    findings += [_settings(visit.name, facts) for visit, facts in seen]
    findings += [_guarded(visit.name, facts) for visit, facts in seen]
    findings += [_bound(visit, facts) for visit, facts in seen]
    findings += [_clock(visit) for visit, _ in seen]
    findings += [_fetches(visit) for visit, _ in seen] if len(seen) > 1 else []
    findings += _shared(place, [visit for visit, _ in seen])
    return findings


def _equal(what: str, values: Sequence[tuple[str, str]], mine: str) -> Iterator[Finding]:
    """One line where all are as here; otherwise one for each node that differs from this process."""
    different = [(name, value) for name, value in values if value != mine]
    if not different:
        yield Finding(what, _all(len(values)), mine, "warning" if mine == "absent" else "ok", _install(what, mine))
    for name, value in different:
        do = f"Install the same on {name}: pip install -c constraints.txt, with the file that ships."
        yield Finding(what, name, f"{value}, here {mine}", "fail", do)


def _install(what: str, version: str) -> str:
    return f"pip install -c constraints.txt {what}" if version == "absent" else ""


def _all(count: int) -> str:
    return f"all {count} nodes" if count > 1 else "the one node"


def _strays(where: str, facts: Facts) -> Finding:
    if not facts.strays:  # results of libraries other than torch and transformers share keys
        return Finding("packages", where, "as the constraints file says", "ok")
    listed = few(facts.strays, 4)
    return Finding("packages", where, listed, "warning", "pip install -c constraints.txt, with the file that ships.")


def _versions(where: str, facts: Facts) -> Finding:
    missing = [name for name in NEEDED if facts.versions[name] == "absent"]
    known = ", ".join(f"{name} {version}" for name, version in facts.versions.items() if version != "absent")
    found = f"Python {facts.python}, {known}, code {facts.code}"
    do = f"pip install -c constraints.txt {' '.join(missing)}" if missing else ""
    return Finding("versions", where, found, "fail" if missing else "ok", do)


def _processor(where: str, facts: Facts) -> Finding:
    found = f"{facts.cpu}: {facts.instructions}"
    if facts.sound:
        return Finding("instruction sets", where, found, "ok")
    do = "Nothing: paredown keeps torch off them. Its numbers are of a hardware class without."
    return Finding("instruction sets", where, f"{found}; AMX is announced but dies", "warning", do)


def _governor(where: str, facts: Facts) -> Finding:
    if facts.governor in (None, "performance"):
        return Finding("CPU clocks", where, facts.governor or "the kernel shows no governor", "ok")
    do = "Before measuring latency: cpupower frequency-set -g performance."
    return Finding("CPU clocks", where, f"governor {facts.governor}", "warning", do)


def _memory(where: str, facts: Facts) -> Finding:
    limit = facts.limits.memory_bytes
    bound = f", of which the container may use {limit / GB:.1f}" if limit and limit < facts.memory else ""
    found = f"{facts.memory_free / GB:.1f} GB free of {facts.memory / GB:.1f}{bound}"
    verdict = _least(facts.memory_free, LEAST_MEMORY, FEW_MEMORY)
    return Finding("memory", where, found, verdict, "" if verdict == "ok" else "End what else runs there.")


def _least(value: float, least: float, few: float) -> Verdict:
    return "fail" if value < least else "warning" if value < few else "ok"


def _container(where: str, facts: Facts) -> Finding:
    quota = facts.limits.cpus
    if quota is None or quota >= facts.cpus:
        return Finding("CPUs", where, f"{facts.cpus}, no quota below that", "ok")
    do = "Use at most so many at once; more are stopped in the middle of a measurement."
    return Finding("CPUs", where, f"{facts.cpus}, of which the container may use {quota:g}", "warning", do)


def _scratch(where: str, facts: Facts) -> Finding:
    found = f"{facts.scratch_free:.0%} free"
    if facts.scratch_free >= FULL_SHARE:
        return Finding("temporary files", where, found, "ok")
    do = "Free some room, or set RAY_TMPDIR and TMPDIR: Ray takes nothing on a disk that is 95% full."
    return Finding("temporary files", where, found, "warning", do)


def _shared_memory(where: str, facts: Facts) -> Finding:
    found = f"{facts.shared_memory / GB:.2f} GB at /dev/shm"
    if facts.shared_memory >= LEAST_SHARED:
        return Finding("shared memory", where, found, "ok")
    return Finding("shared memory", where, found, "warning", "Start the container with --shm-size=2g or more.")


def _cards(where: str, facts: Facts) -> Finding:
    if not facts.cards:
        return Finding("GPUs", where, "none", "ok")
    names = [card.name for card in facts.cards]
    found = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if facts.cards_unread:
        return Finding("GPUs", where, f"{found}; {facts.cards_unread}", "fail", "pip install 'paredown[gpu]'.")
    if "+cpu" in facts.versions["torch"]:
        found += f"; torch {facts.versions['torch']} is built without CUDA"
        return Finding("GPUs", where, found, "fail", "Install the CUDA build of that torch.")
    if any(card.persistence is False for card in facts.cards):
        do = "nvidia-smi -pm 1, so that clocks and driver state survive between jobs."
        return Finding("GPUs", where, f"{found}; persistence mode is off", "warning", do)
    return Finding("GPUs", where, found, "ok")


# What is looked at on every machine.
MACHINE: tuple[Callable[[str, Facts], Finding], ...] = (
    _versions,
    _strays,
    _processor,
    _governor,
    _container,
    _memory,
    _shared_memory,
    _scratch,
    _cards,
)


def _enough_cpus(visit: Visit, facts: Facts) -> Finding:
    given = visit.resources.get("CPU", 0.0)
    quota = min(facts.cpus, facts.limits.cpus or facts.cpus)
    if given <= quota:
        return Finding("CPUs given to Ray", visit.name, f"{given:g} of {quota:g}", "ok")
    do = f"Start the node with --num-cpus={max(1, int(quota))}: jobs side by side would slow each other."
    return Finding("CPUs given to Ray", visit.name, f"{given:g} of {quota:g}", "warning", do)


def _given_cards(visit: Visit, facts: Facts) -> Finding:
    given, there = visit.resources.get("GPU", 0.0), len(facts.cards)
    if given == there:
        return Finding("GPUs given to Ray", visit.name, f"{given:g} of {there}", "ok")
    do = "Start the node where its GPUs are visible (CUDA_VISIBLE_DEVICES), or with --num-gpus."
    return Finding("GPUs given to Ray", visit.name, f"{given:g} of {there}", "fail" if given > there else "warning", do)


def _settings(where: str, facts: Facts) -> Finding:
    wrong = [
        f"{name}={facts.settings.get(name, 'unset')}"
        for name, value in SETTINGS.items()
        if name != "RAY_AUTH_MODE" and facts.settings.get(name) != value
    ]
    if not wrong:
        return Finding("Ray's settings", where, "as the launch files set them", "ok")
    do = "Start the node with a launch file: by Ray's defaults lost work begins again after up to five minutes."
    return Finding("Ray's settings", where, ", ".join(wrong), "warning", do)


def _guarded(where: str, facts: Facts) -> Finding:
    if facts.settings.get("RAY_AUTH_MODE") == "token":
        return Finding("token", where, "asked for", "ok")
    do = "Start every node with RAY_AUTH_MODE=token and the same token, as the launch files do."
    return Finding("token", where, "none is asked for: whoever reaches the node can run code on it", "fail", do)


def _token_here(facts: Facts) -> Finding | None:
    """Nothing to say where this machine has no token file."""
    for path, mode in facts.token_modes.items():
        if mode & 0o077:
            return Finding("token", facts.host, f"{path} can be read by others", "fail", f"chmod 600 {path}")
        return Finding("token", facts.host, f"{path}, for its owner only", "ok")
    return None


def _bound(visit: Visit, facts: Facts) -> Finding:
    public = ipaddress.ip_address(visit.address).is_global
    if facts.open_dashboards:
        found = f"the dashboard listens at {', '.join(facts.open_dashboards)}"
        return Finding("binding", visit.name, found, "warning", "Start the head with --dashboard-host=127.0.0.1.")
    if public:
        found = f"{visit.address} is a public address, and Ray's services listen on every interface"
        return Finding("binding", visit.name, found, "warning", "Use a private network, or a firewall in front of it.")
    return Finding("binding", visit.name, f"{visit.address}, no open dashboard", "ok")


def _clock(visit: Visit) -> Finding:
    if visit.skew is None or visit.skew_bound is None:
        return Finding("clock", visit.name, "it did not answer in time", "warning", "Look again when it is idle.")
    found = f"within {visit.skew_bound * 1e3:.1f} ms, the round trip's half"
    if visit.skew:
        found = f"{abs(visit.skew):.3f} s {'ahead of' if visit.skew > 0 else 'behind'} this machine, at least"
    verdict: Verdict = "ok"
    if abs(visit.skew) > SKEW_WARNING:
        verdict = "fail" if abs(visit.skew) > SKEW_FAIL else "warning"
    return Finding("clock", visit.name, found, verdict, "" if verdict == "ok" else "Have it follow a time server.")


def _fetches(visit: Visit) -> Finding:
    if visit.fetch is None:
        return Finding("nodes reach each other", visit.name, "it fetched 1 MiB from another", "ok")
    do = "Open the ports between the nodes; Ray picks them unless --object-manager-port and others name them."
    return Finding("nodes reach each other", visit.name, visit.fetch, "fail", do)


def _shared(place: Place | None, visits: Sequence[Visit]) -> Iterator[Finding]:
    if place is None:
        yield Finding("results folder", "the cluster", "not looked at", "warning", "Name it with --store.")
        return
    for visit in visits:
        if visit.folder:
            do = f"Mount one folder at {place.location} on every node, writable for the user that runs Ray."
            if isinstance(place, Bucket):
                do = "Give that node's Ray the credentials and the endpoint that this machine has."
            yield Finding("results folder", visit.name, f"{place.location}: {visit.folder}", "fail", do)
        else:
            yield _room(visit.name, f"{place.location} is shared", visit.folder_free)


def _room(where: str, what: str, free: int | None) -> Finding:
    if free is None:
        return Finding("results folder", where, what, "ok")
    verdict = _least(free, LEAST_DISK, FEW_DISK)
    do = "" if verdict == "ok" else "Free some room: artefacts are as large as the models."
    return Finding("results folder", where, f"{what}, {free / GB:.1f} GB free", verdict, do)


def _folder_here(store: str | None, where: str) -> Iterator[Finding]:
    place, do = place_of(store or "results/store"), "Choose another with --store."
    try:
        sign = Sign(place)
    except REFUSED as error:
        found = f"{place.location}: it cannot be written ({reason(error)})"
        yield Finding("results folder", where, found, "fail", do)
        return
    try:
        wrong = answer(place, sign.name, where)
    finally:
        sign.remove([where])
    if wrong:
        yield Finding("results folder", where, f"{place.location}: {wrong}", "fail", do)
    else:
        yield _room(where, f"{place.location} can be written", free_bytes(place))


def fit(findings: Iterable[Finding]) -> bool:
    """Whether nothing has to be mended first."""
    return all(finding.verdict != "fail" for finding in findings)


def doctor_table(findings: Sequence[Finding]) -> Printable:
    """The findings, those of several machines that say the same in one row; what has to be mended last."""
    grouped: dict[tuple[str, str, str, str], list[str]] = {}
    for one in findings:
        grouped.setdefault((one.check, one.found, one.verdict, one.do), []).append(one.where)
    order = ("ok", "warning", "fail")
    groups = sorted(grouped.items(), key=lambda item: order.index(item[0][2]))
    columns = ("check", "where", "found", "verdict", "what to do")
    rows = tuple((check, ", ".join(where), found, verdict, do) for (check, found, verdict, do), where in groups)
    records = [dict(zip(("check", "where", "found", "verdict", "do"), row, strict=True)) for row in rows]
    counts = {verdict: sum(row[3] == verdict for row in rows) for verdict in order}
    note = "Fit for a sweep." if fit(findings) else "Not fit: mend what says fail."
    notes = (f"{note} Warnings: {counts['warning']}, failures: {counts['fail']}.",)
    return Printable("Doctor", columns, rows, {"fit": fit(findings), "findings": records}, notes)
