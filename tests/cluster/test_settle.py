"""`paredown settle` on real models, its choice of leases, and what it refuses."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import BadInput
from bench.store.reader import Snapshot, open_snapshot
from bench.store.verify import verify
from bench.sweep import load_sweep
from cluster import plan
from cluster.session import Options, run_batch, run_sweep
from cluster.settle import LARGEST_BATCH, Contest, budget_seconds, contests, next_batch
from cluster.settled import Left, left_to_runs, settle_within, settled_table, why_no_batch
from cluster.standing import Known
from leaderboard.rows import find_sweep
from tests import tiny
from tests.bench.statistics.opened import opened

LATENCY = {"length": [16], "first_rounds": 20, "max_rounds": 20, "burst_ms": 1, "leases": 2}
COLUMNS = {"text": "premise", "pair": "hypothesis", "label": "label"}
VERDICTS = ("certain", "contested", "certain")  # of the base and two variants, once settled


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a sweep that has run: a base and two variants, two leases."""
    folder = tmp_path_factory.mktemp("settle")
    path = tiny.sweep_file(
        folder,
        data={"test": {"source": "test.jsonl", "limit": 100, **COLUMNS}},
        recipes=[[{"layer_copy": {"decoder": [1, 3]}}]],
        latency=LATENCY,
        memory={"repeats": 0},
        objectives=["size", "latency"],
        race={"on": False},
    )
    options = Options(folder / "store", "local", workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "unstable", lambda *_: {})  # on a busy machine two leases may disagree, and ask for a third
        for _ in run_sweep(load_sweep(str(path)), options, lambda *_: {}, lambda *_: None):
            pass
    return folder / "store"


def wished(contest: Contest) -> Contest:
    """The same with one pair that leases would close; how fast tiny models are is up to the machine."""
    return replace(contest, pairs=opened((1, 2, 4, None)), lease_seconds=10.0)


def test_the_budget_is_kept_and_leases_come_a_few_at_a_time(store: Path) -> None:
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        (contest,) = contests(snapshot, sweep)
    assert contest.leases == (2, 2, 2)
    batch = next_batch(sweep, [wished(contest)], 1e9)
    assert batch is not None
    assert [len(job.artefact_ids) for job in batch.jobs] == [3] * LARGEST_BATCH
    assert [job.lease for job in batch.jobs] == [contest.next_lease, contest.next_lease + 1]
    assert batch.seconds == pytest.approx(LARGEST_BATCH * 3 * 10)
    fewer = next_batch(sweep, [wished(contest)], 45)
    assert fewer is not None
    assert len(fewer.jobs) == 1
    assert next_batch(sweep, [wished(contest)], 29) is None
    assert next_batch(sweep, [replace(contest, pairs=opened((1, 2, None, None)))], 1e9) is None
    assert [p.status for p in batch(Known(), frozenset()).jobs] == ["ready"]  # one at a time
    assert {job.rounds for job in batch.jobs} == {contest.rounds}
    assert contest.rounds in (20, 40, 80)  # a sweep that ends its leases after 20 may buy longer ones


def test_why_nothing_is_bought_is_said(store: Path) -> None:
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        (contest,) = contests(snapshot, sweep)
    said = why_no_batch(sweep, [wished(contest)], True)
    assert said == "the budget has no room for what would decide most for its time, leases of about 30 s."
    assert why_no_batch(sweep, [wished(contest)], False) is None  # the budget is spent
    tied = replace(contest, pairs=opened((1, 2, None, None)), lease_seconds=10.0)
    said = why_no_batch(sweep, [tied], True)
    assert said is not None
    assert said.startswith("no further lease would decide a whole variant")
    assert why_no_batch(sweep, [replace(contest, pairs=opened())], True) is None  # nothing is contested


def test_the_rest_of_a_budget_goes_to_as_many_as_fit(store: Path) -> None:
    """Two variants of two leases each decide more for their time than one, but no longer where only one fits."""
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        (contest,) = contests(snapshot, sweep)
    both = replace(contest, pairs=opened((1, 0, 2, None), (2, 1, 2, None)), lease_seconds=10.0)
    for budget, models in ((30, 3), (29, 2), (20, 2)):
        batch = next_batch(sweep, [both], budget)
        assert batch is not None
        assert [len(job.artefact_ids) for job in batch.jobs] == [models]
    assert next_batch(sweep, [both], 19) is None
    assert next_batch(sweep, [both], -30) is None


def test_of_several_bases_the_one_that_decides_most_for_its_time(store: Path) -> None:
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        (contest,) = contests(snapshot, sweep)
    cheap = replace(contest, pairs=opened((1, 2, 4, None)), lease_seconds=10.0)  # 1 in 120 s
    dear = replace(contest, pairs=opened((1, 2, 4, None), (2, 1, 4, None)), lease_seconds=11.0)  # 2 in 132 s
    for found in ([cheap, dear], [dear, cheap]):
        batch = next_batch(sweep, found, 1e9)
        assert batch is not None
        assert batch.seconds == pytest.approx(LARGEST_BATCH * 3 * 11)


def test_recipes_that_gave_the_same_bytes_are_one_model(store: Path) -> None:
    """A lease that named one of them twice could not be read; what has the base's bytes is its copy already."""
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        (contest,) = contests(snapshot, sweep)
    base, first, second = contest.rows
    twins = replace(contest, rows=(base, first, replace(second, artefact_id=first.artefact_id)))
    batch = next_batch(sweep, [wished(twins)], 1e9)
    assert batch is not None
    assert {job.artefact_ids for job in batch.jobs} == {(base.artefact_id, first.artefact_id)}
    assert {len(job.names) for job in batch.jobs} == {2}
    copies = replace(contest, rows=(base, replace(first, artefact_id=base.artefact_id), second))
    assert copies.always == {0, 1}
    batch = next_batch(sweep, [wished(copies)], 1e9)
    assert batch is not None
    assert {job.artefact_ids for job in batch.jobs} == {(base.artefact_id, second.artefact_id)}
    assert copies.price().seconds == 0


def test_json_holds_what_the_notes_say(store: Path) -> None:
    with open_snapshot(store) as snapshot:
        (contest,) = contests(snapshot, find_sweep(snapshot))
    rows = tuple(replace(row, verdict=verdict) for row, verdict in zip(contest.rows, VERDICTS, strict=True))
    pairs = ((1, 0, None, None), (1, 2, 4, None), (2, 1, 4, None))
    before = replace(contest, rows=rows, pairs=opened(*pairs), lease_seconds=10.0)
    left = Left(0, ["About seeds."], ["About a limit."])
    table = settled_table([before], [replace(before, pairs=opened(*pairs[:2]))], left)
    mine, other = table.records["variants"]
    assert (table.records["contested"], table.records["decided"]) == (2, 1)
    assert (mine["variant"], mine["leases"]) == (rows[1].name, contest.leases[1])
    assert mine["price"] == {"closed": 1, "never": 1, "leases": 4, "seconds": 120.0}
    assert (other["verdict"], other["open"], other["price"]) == ("certain", "", None)
    assert table.records["price"] == {"closed": 1, "never": 1, "leases": 4, "seconds": 120.0}
    assert table.records["seeds"] == ["About seeds."]
    assert table.notes[0].startswith("1 of 2 contested variants decided.")
    assert "would decide 1 of 2 open comparisons" in table.notes[1]
    assert table.notes[2:] == ("About a limit.", "About seeds.")
    # What leases decide needs no further examples.
    table = settled_table([before], [replace(before, pairs=opened(pairs[1]))], left)
    assert table.notes[2:] == ("About seeds.",)
    assert table.records["limited"] == ["About a limit."]


def test_what_an_unfinished_sweep_lacks_is_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its contests are not all there yet: "0 of 0 decided" would read as settled."""
    options = Options(store, "local", workers=1)
    coming, seeds, limited = left_to_runs(None, options)
    assert (coming, seeds) == (0, [])
    (sentence,) = limited
    assert sentence.startswith("pairs takes at most 100 rows of its data (`limit`): ")
    monkeypatch.setattr(Snapshot, "progress", lambda *_: {"done": 7, "failed": 0, "running": 1, "open": 2})
    table = settled_table([], [], left_to_runs(None, options))
    assert table.records["to_come"] == 3
    assert table.notes[0].startswith("Nothing was contested.")
    assert table.notes[1].startswith("The sweep is not finished, 3 of its jobs are to come: go on with it")


def test_who_left_the_candidates_of_a_large_sweep_is_told(store: Path) -> None:
    """Beaten by now; or, where some were not compared, perhaps only farther from the frontier."""
    with open_snapshot(store) as snapshot:
        (contest,) = contests(snapshot, find_sweep(snapshot))
    rows = tuple(replace(row, verdict=verdict) for row, verdict in zip(contest.rows, VERDICTS, strict=True))
    before = replace(contest, rows=rows, pairs=opened((1, 2, 4, None)))
    left = replace(before, rows=(rows[0], rows[2]), leases=(3, 3), pairs=opened())
    (gone,) = settled_table([before], [left]).rows
    assert gone == (rows[1].name, "dominated", "2", "")
    table = settled_table([before], [replace(left, others=5)])
    assert (table.rows[0][1], table.records["decided"]) == ("contested", 0)


def test_who_is_open_again_has_a_line_and_is_not_counted_as_decided(store: Path) -> None:
    """More looks leave less of the error for each: what two leases had decided, four may not."""
    with open_snapshot(store) as snapshot:
        (contest,) = contests(snapshot, find_sweep(snapshot))
    rows = tuple(replace(row, verdict=verdict) for row, verdict in zip(contest.rows, VERDICTS, strict=True))
    before = replace(contest, rows=rows, pairs=opened((1, 2, 4, None)))
    swapped = (rows[0], replace(rows[1], verdict="dominated"), replace(rows[2], verdict="contested"))
    table = settled_table([before], [replace(before, rows=swapped, pairs=opened((2, 1, 4, None)))])
    assert [(row[0], row[1]) for row in table.rows] == [(rows[1].name, "dominated"), (rows[2].name, "contested")]
    assert [each["reopened"] for each in table.records["variants"]] == [False, True]
    assert (table.records["contested"], table.records["decided"]) == (1, 1)
    assert table.notes[1].startswith("1 that had been decided is contested again")


def test_leases_that_a_run_has_yet_to_take_are_left_to_it(store: Path) -> None:
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        (contest,) = contests(snapshot, {**sweep, "body": {**sweep["body"], "leases": 5}})
    assert contest.next_lease == 5


def test_what_cannot_be_settled(store: Path) -> None:
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        objectives = [o for o in sweep["body"]["objectives"] if o["metric"] == "size"]
        with pytest.raises(BadInput, match="settling buys time"):
            contests(snapshot, {**sweep, "body": {**sweep["body"], "objectives": objectives}})
        questions = {**sweep["body"]["questions"], "LatencyJob": {"protocol": "another"}}
        with pytest.raises(BadInput, match="no finished lease yet"):
            contests(snapshot, {**sweep, "body": {**sweep["body"], "questions": questions}})


def test_a_store_without_a_sweep_is_a_sentence(tmp_path: Path) -> None:
    from tests.leaderboard import sample

    with sample.writing(tmp_path) as writer:
        writer.report(sample.PROGRESS)
    with pytest.raises(BadInput, match="holds no sweep yet: start one with `paredown run`"):
        settle_within(60.0, None, Options(tmp_path, "local", workers=1), Console(file=io.StringIO()))


def test_more_leases_count_as_many_and_are_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(store, "local", workers=1)
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        before = contests(snapshot, sweep)
    batch = next_batch(sweep, [wished(before[0])], 75, {"done": 7})
    assert batch is not None
    assert len(list(run_batch(batch, options, lambda *_: {}, lambda *_: None))) == 2
    with open_snapshot(store) as snapshot:
        after = contests(snapshot, sweep)
        assert not verify(snapshot, snapshot.sweeps(), deep=False, tell=lambda _: None).differences
        told = snapshot.progress(sweep["sweep_id"])
    assert (told["verb"], told["run"]) == ("settle", {"done": 7})
    assert after[0].leases == (4, 4, 4)
    for row in after[0].rows[1:]:
        cell = row.cells["latency_ratio", "batch 1 x 16 tokens"]
        assert (cell.method, cell.note) == ("Student t over 4 leases", "4 leases")
        assert cell.low < cell.estimate < cell.high
        assert cell.extended == 2.0  # twice the leases declared, by which less of the error is left
    assert after[0].rows[0].cells["latency_ratio", "batch 1 x 16 tokens"].extended is None
    table = settled_table(before, after)
    lines, first = [line[0] for line in table.rows], [row.name for row in before[0].contested]
    assert lines[: len(first)] == first
    assert set(lines[len(first) :]) == {row.name for row in after[0].contested} - set(first)  # contested again
    again, last = settle_within(1.0, None, options, Console(file=io.StringIO()))
    assert [contest.leases for contest in again] == [contest.leases for contest in last]  # a second buys nothing
    monkeypatch.setattr("leaderboard.index.LARGE", 1)  # and a large sweep is settled among those that nothing beats
    among, _ = settle_within(0.001, None, options, Console(file=io.StringIO()))
    assert among[0].rows[0].is_base
    assert {row.recipe_id for row in among[0].rows} <= {row.recipe_id for row in last[0].rows}
    assert set(among[0].leases) == {4}


@pytest.mark.parametrize(
    ("name", "found", "sentence"),
    [
        ("hardware_class", "another class", "was measured on .*, and here is 'another class'"),
        ("library_versions", {"torch": "0.1"}, r"was measured under .*, and here is torch 0\.1"),
    ],
)
def test_leases_are_of_the_machine_and_the_code_that_the_sweep_was_measured_with(
    store: Path, monkeypatch: pytest.MonkeyPatch, name: str, found: object, sentence: str
) -> None:
    with open_snapshot(store) as snapshot:
        sweep = find_sweep(snapshot)
        before = contests(snapshot, sweep)
    batch = next_batch(sweep, [wished(before[0])], 45)
    assert batch is not None
    monkeypatch.setattr(f"cluster.session.{name}", lambda *_: found)
    with pytest.raises(BadInput, match=sentence):
        list(run_batch(batch, Options(store, "local", workers=1), lambda *_: {}, lambda *_: None))
    with open_snapshot(store) as snapshot:
        assert [contest.leases for contest in contests(snapshot, sweep)] == [contest.leases for contest in before]
        assert not snapshot.rows("select 1 from records where job_type = 'LatencyJob' and status = 'failed'")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2 h ", 7200)])
def test_budgets(text: str, seconds: float) -> None:
    assert budget_seconds(text) == seconds


def test_a_budget_without_end() -> None:
    with pytest.raises(BadInput, match="longer than any number of seconds can say"):
        budget_seconds("9" * 400 + "h")


@pytest.mark.parametrize("text", ["0", "0m", "0.0h", "-5m", "30", "m", "soon", "1e3s", ""])
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="--budget is"):
        budget_seconds(text)
