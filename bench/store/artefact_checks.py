"""Artefacts against their names, and the numbers counted from their files."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from bench.architecture import model_files
from bench.artefacts import weight_bytes
from bench.errors import BadInput
from bench.identity import files_digest, short
from bench.store.findings import Check
from bench.store.folder import Folder

CHEAP_BYTES = 4e9  # read in a few seconds; more is read when asked


def check_artefacts(folder: Folder, connection: duckdb.DuckDBPyConnection, *, deep: bool, check: Check) -> None:
    """Hash every artefact that a build or a study has published; with `deep`, whatever its size, and load each model
    to count again."""
    artefacts = folder.open_artefacts()
    rows = connection.execute(
        "with built as (select job, ordinal, artefact_id from records where kind = 'build' and status = 'finished'), "
        "left_behind as (select job, ordinal, unnest(map_values(from_json(coalesce(job -> 'passes', '{}'), "
        "'\"map(varchar, varchar)\"'))) as artefact_id from built) "
        "select artefact_id, arg_min(job ->> 'name', ordinal) from (from built union all from left_behind) "
        "where artefact_id is not null group by artefact_id order by 2, 1"
    ).fetchall()
    stated = _stated(connection)
    left = 0
    for artefact_id, name in rows:
        subject = f"artefact {short(artefact_id)} of {name}"
        if artefact_id not in artefacts:
            check.compared += 1
            check.differs(subject, "is not in the store any more")
            continue
        path = artefacts.path(artefact_id)
        if not deep and sum(p.stat().st_size for p in path.iterdir()) > CHEAP_BYTES:
            left += 1
            continue
        check.compared += 1
        found = files_digest(path, model_files(path))
        if found != artefact_id:
            reason = "its files are not those that it is named after"
            check.differs(subject, reason, "", "", ("artefact_id", artefact_id, found))
        mine = stated.get(artefact_id, {})  # nothing for what a study left, which is no model
        counted = {"size": float(weight_bytes(path)), **(_counted(folder, artefact_id, check) if deep and mine else {})}
        for metric, value in mine.items():
            if metric in counted:
                check.compare(subject, {metric: value}, {metric: counted[metric]}, "is not what its files hold", metric)
    if left:
        check.notes.append(f"{left} artefacts larger than {CHEAP_BYTES / 1e9:.0f} GB were not read: ask with --deep")
    if not deep:
        check.notes.append(
            "parameters, layers, FLOPs and the cache per token are counted again with --deep, which loads every model"
        )


def _stated(connection: duckdb.DuckDBPyConnection) -> Mapping[str, Mapping[str, float]]:
    """artefact_id -> the numbers that its builds state."""
    rows = connection.execute(
        "select n.artefact_id, n.metric, any_value(n.estimate) from numbers n join records r using (identity) "
        "where r.kind = 'build' group by all"
    ).fetchall()
    found: dict[str, dict[str, float]] = {}
    for artefact_id, metric, value in rows:
        found.setdefault(artefact_id, {})[metric] = value
    return found


def _counted(folder: Folder, artefact_id: str, check: Check) -> dict[str, float]:
    """What a loaded artefact counts, nothing where it cannot be loaded."""
    from transformers.utils.logging import disable_progress_bar

    from bench.measure.predict import cache_of
    from bench.measure.shrink import facts_of
    from bench.models import load

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded = load(folder.open_artefacts().path(artefact_id))
    except (BadInput, OSError, RuntimeError, ValueError, KeyError) as error:
        check.differs(f"artefact {short(artefact_id)}", f"cannot be loaded ({' '.join(str(error).split())[:200]})")
        return {}
    facts = facts_of(loaded.model)
    counted = {"parameters": facts.parameters, "layers": facts.layers, "flops": facts.flops}
    counted["kv_cache_per_token"] = cache_of(loaded.source)
    return {metric: float(count) for metric, count in counted.items() if count is not None}
