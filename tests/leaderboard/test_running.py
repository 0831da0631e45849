"""What ran where, what failed and why, what a race stopped: as rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from bench.job import BuildJob
from bench.record import Failed, FailureKind, Finished
from bench.store.finished_leases import FinishedLease
from bench.store.journal import Entry
from bench.store.reader import Snapshot, open_snapshot
from leaderboard import running
from leaderboard.contests import Open, Price, price
from leaderboard.live import progress_lines
from leaderboard.rows import Board
from leaderboard.running import Bar, bars, causes, contested, eliminations, running_now, runs, work
from leaderboard.timeline import lanes, timeline
from tests.bench.statistics.opened import opened
from tests.leaderboard import sample
from tests.leaderboard.sample import VARIANTS, Variant


def bar(started: float, seconds: float, node: str = "a", lane: int = 0) -> Bar:
    return Bar(node, lane, "build", "build: <b>", started, seconds, False, f"{node}:1")


def sweep_id(snapshot: Snapshot) -> str:
    return str(snapshot.sweeps()[0]["sweep_id"])


def test_every_attempt_has_a_bar_and_those_side_by_side_have_lanes(snapshot: Snapshot) -> None:
    found = bars(snapshot, sweep_id(snapshot))
    (count,) = snapshot.rows("select count(*) as n from records")
    assert len(found) == count["n"]
    assert {b.node for b in found} == {"sample"}
    # All records of the sample begin at the same time: none of them may share a lane.
    assert len({b.lane for b in found}) == len(found)
    assert sum(b.failed for b in found) == 1
    assert {b.kind for b in found} == {"build", "evaluate", "timing", "memory"}


def test_what_runs_now_is_told_with_how_busy_each_node_is() -> None:
    progress = {"done": 3, "running": 3, "now": ["build <b>", "evaluate"], "nodes": {"a": [1.5, 4], "b": [0, 2]}}
    where = [["a", "build <b>", 1795000000.0], ["b", "evaluate", 1795000061.5]]
    jobs, nodes = running_now({**progress, "where": where})
    assert jobs[:2] == [("a", "build <b>", "11:06:40"), ("b", "evaluate", "11:07:41")]
    assert jobs[2:] == [("", "1 more: about to begin, or not listed", "")]
    assert nodes == [("a", "1.5 of 4"), ("b", "0 of 2")]
    older = running_now(progress)[0]  # of a run that did not say where
    assert [job for _, job, _ in older] == ["build <b>", "evaluate", "1 more: about to begin, or not listed"]
    assert running_now({**progress, "running": 0}) == ([], [])
    # How many run is told less often than where: with the first jobs of a run it may be behind.
    assert running_now({"running": 0, "where": where})[0] == running_now({"running": len(where), "where": where})[0]
    assert running_now({}) == ([], [])


def test_runs_are_told_apart_by_a_long_pause() -> None:
    drawn = [bar(0, 10), bar(5, 2000), bar(1500, 10), bar(10_000, 5)]
    assert [len(run) for run in runs(drawn)] == [1, 3]
    assert runs([]) == []


def test_the_timeline_escapes_and_orders_its_rows() -> None:
    drawn = [bar(0, 10), bar(2, 10, "b"), bar(3, 4, "a", 1)]
    assert lanes(drawn) == ["a", "a +1", "b"]
    figure = timeline(drawn)
    assert list(figure.layout.yaxis.categoryarray) == ["b", "a +1", "a"]
    assert figure.data[0].x[0] == 10_000
    assert "&lt;b&gt;" in figure.data[0].text[0]


def test_work_is_counted_by_kind(snapshot: Snapshot) -> None:
    found = {each.kind: each for each in work(snapshot, sweep_id(snapshot))}
    assert (found["build"].finished, found["build"].failed) == (9, 1)
    assert found["evaluate"].finished == 9
    assert found["timing"].seconds == pytest.approx(12.5 * found["timing"].finished)


def failing(attempt: int, kind: FailureKind, reason: str, variant: Variant = VARIANTS[-1]) -> Entry:
    job = BuildJob(recipe_id=variant.recipe_id, name=variant.name, step="finetune", folder=None)
    delivery = sample._delivery(job, Failed(stage="build", kind=kind, reason=reason))
    record = delivery.record.model_copy(update={"attempt": attempt})
    return Entry.of(type(delivery)(record))


def test_failures_are_grouped_by_cause_whatever_the_numbers_in_it(tmp_path: Path) -> None:
    with sample.writing(tmp_path / "s") as writer:
        writer.append([sample.declaration()])
        writer.append([failing(1, "out of memory", "needs 812 MB")])
        writer.append([failing(2, "out of memory", "needs 790 MB")])
        writer.append([failing(1, "bug", "KeyError: <b>", VARIANTS[-2])])
        done = BuildJob(recipe_id=VARIANTS[-1].recipe_id, name=VARIANTS[-1].name, step="finetune", folder=None)
        writer.append([Entry.of(sample._delivery(done, Finished(artefact_id=VARIANTS[-1].artefact_id, values=())))])
    with open_snapshot(tmp_path / "s") as snapshot:
        bug, memory = causes(snapshot, sweep_id(snapshot))
    assert (bug.kind, bug.count, bug.open, bug.passing) == ("bug", 1, 1, False)
    assert (memory.kind, memory.count, memory.open, memory.passing) == ("out of memory", 2, 0, True)
    assert bug.jobs == (f"build: finetune ({VARIANTS[-2].name})",)


@pytest.mark.parametrize("kind", ["lost node", "preempted", "no place"])
def test_what_a_machine_took_along_may_pass(tmp_path: Path, kind: FailureKind) -> None:
    with sample.writing(tmp_path / "s") as writer:
        writer.append([sample.declaration(), failing(1, kind, "gone")])
    with open_snapshot(tmp_path / "s") as snapshot:
        (found,) = causes(snapshot, sweep_id(snapshot))
    assert found.passing


def test_a_declaration_of_thousands_is_read_in_little_memory() -> None:
    body = json.dumps({"variants": [{"recipe_id": f"{i}", "name": "x" * 500} for i in range(1500)]})
    with duckdb.connect(config={"memory_limit": "50MB"}) as connection:
        connection.execute("create table sweeps as select 'a' as sweep_id, ? as body", [body])
        found = connection.execute(f"select count(value) from ({Snapshot.variants_declared})", ["a"]).fetchall()
    assert found == [(1500,)]


def test_other_sweeps_of_a_store_do_not_count(tmp_path: Path) -> None:
    sample.make_store(tmp_path / "two", VARIANTS[:3], {})
    with sample.writing(tmp_path / "two") as writer:
        writer.append([sample.declaration(VARIANTS[5:7], "other", day=21)])
    with open_snapshot(tmp_path / "two") as snapshot:
        other, mine = (str(s["sweep_id"]) for s in snapshot.sweeps())
        assert bars(snapshot, other) == ()
        assert work(snapshot, other) == ()
        assert bars(snapshot, mine)
        assert eliminations(snapshot, mine) == ()


def test_the_price_of_all_that_leases_decide(board: Board) -> None:
    pairs = opened((1, 2, 4, None), (3, 0, 2, None), (2, 3, None, None))
    lease = FinishedLease({"artefact_ids": ["base", "one", "another"]}, 30.0, None)
    found = Open(tuple(board.rows[:4]), pairs, (4, 2, 2, 2), 10.0, rounds=None, finished=(lease,), others=0)
    # Two share each of four leases with the base, and the third needs two of its own.
    assert price([found]) == Price(closed=2, never=1, leases=6, seconds=4 * 30.0 + 2 * 20.0)
    assert price([found, found]).seconds == 320
    assert price([found]).sentence() == (
        "About 6 more leases, 3 min in all, would decide 2 of 3 open comparisons, if the estimates stay what they are. "
        "No number of leases decides the other 1: tied on time, or a matter of what no lease measures."
    )
    # A row that is open against more than a lease holds takes several.
    many = replace(found, pairs=opened((1, 2, 4, None), (1, 3, 2, None)))
    assert many.price_of(many.rows[1]) == Price(closed=2, never=0, leases=6, seconds=4 * 30.0 + 2 * 20.0)
    assert many.price_of(many.rows[0]) == Price(closed=0, never=0, leases=0, seconds=0)
    never = price([replace(found, pairs=opened((2, 3, None, None)))])
    assert (never.leases, never.seconds) == (0, 0)
    assert never.sentence().startswith("No number of leases decides any of 1 open comparisons")


def test_of_many_contested_variants_the_first_are_listed(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contested(snapshot, sweep_id(snapshot))
    assert len(whole.rows) > 2
    monkeypatch.setattr(running, "MOST_CONTESTED", 2)
    found = contested(snapshot, sweep_id(snapshot))
    assert (found.rows, found.budget) == (whole.rows[:2], whole.budget)
    listed = f" Of {len(whole.rows)} contested variants the first 2 on the board are listed."
    assert found.sentence == whole.sentence + listed


def test_what_is_open_is_told_with_its_price_or_a_sentence(snapshot: Snapshot, tmp_path: Path) -> None:
    found = contested(snapshot, sweep_id(snapshot))
    assert "open comparisons" in found.sentence
    assert all(words for _, _, words in found.rows)
    with sample.writing(tmp_path / "fresh") as writer:
        writer.append([sample.declaration(VARIANTS[:2])])
    with open_snapshot(tmp_path / "fresh") as fresh:
        assert "no finished lease yet" in contested(fresh, sweep_id(fresh)).sentence


def test_the_line_of_what_settles_is_not_taken_for_the_sweeps() -> None:
    told = {"done": 1, "running": 1, "failed": 0, "open": 0}
    assert progress_lines(told) == ["1 done, 1 running, 0 failed, 0 to come"]
    assert progress_lines({**told, "verb": "settle"}) == ["paredown settle: 1 done, 1 running, 0 failed, 0 to come"]
    ended = {"done": 1, "failed": 1, "verb": "settle"}
    assert progress_lines(ended) == ["paredown settle: 1 jobs done, 1 failed"]
