"""Per-example outcomes read from the journal: paired, filtered and paged, against the same told by numpy."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bench.errors import BadInput
from bench.store.outcomes import Outcomes, example_texts, open_outcomes
from bench.store.reader import Snapshot
from tests.leaderboard import sample
from tests.leaderboard.sample import VARIANTS, Variant

PAIR = (VARIANTS[0], VARIANTS[3])


def scores(variant: Variant) -> np.ndarray:
    examples = sample.evaluation(variant).examples
    assert examples is not None
    return np.asarray(examples.score)


@pytest.fixture
def outcomes(snapshot: Snapshot) -> Iterator[Outcomes]:
    body = snapshot.sweeps()[0]["body"]
    ids = [v.artefact_id for v in PAIR]
    with open_outcomes(snapshot, body, body["tasks"][0], ids, ids[0]) as found:
        yield found


def test_flips_are_counted_both_ways(outcomes: Outcomes) -> None:
    base, mine = (scores(v) for v in PAIR)
    assert outcomes.count() == sample.EXAMPLES
    assert outcomes.count("lost") == int((mine < base).sum()) > 0
    assert outcomes.count("gained") == int((mine > base).sum()) > 0
    (all_of_it,) = outcomes.counts()
    assert (all_of_it.part, all_of_it.n) == ("", sample.EXAMPLES)
    assert all_of_it.means == pytest.approx((base.mean(), mine.mean()))


def test_where_less_is_better_what_grew_is_lost(snapshot: Snapshot) -> None:
    """Language modelling scores an example by its mean nats."""
    body = snapshot.sweeps()[0]["body"]
    ids, base, mine = [v.artefact_id for v in PAIR], *(scores(v) for v in PAIR)
    task = body["tasks"][0] | {"metrics": ["perplexity"]}
    with open_outcomes(snapshot, body, task, ids, ids[0]) as found:
        assert found.count("lost") == int((mine > base).sum())
        assert found.count("gained") == int((mine < base).sum())
        (counted,) = found.counts()
        assert (counted.lost, counted.gained) == (found.count("lost"), found.count("gained"))


def test_pages_follow_each_other_without_a_gap(outcomes: Outcomes) -> None:
    base, mine = (scores(v) for v in PAIR)
    wanted = np.flatnonzero(mine < base).tolist()
    found = [line.index for offset in (0, 7, 14) for line in outcomes.lines("lost", offset=offset, limit=7)]
    assert found == wanted[:21]
    first = outcomes.lines("lost", limit=1)[0]
    assert [answer.score for answer in first.answers] == [1.0, 0.0]
    assert first.answers[0].prediction == first.label != first.answers[1].prediction
    assert outcomes.lines("lost", offset=10_000) == []


def test_a_part_that_nobody_names_is_empty(outcomes: Outcomes) -> None:
    assert outcomes.count("all", "'; drop table beside; --") == 0
    assert outcomes.count() == sample.EXAMPLES


def test_the_parquet_file_has_every_example_that_matches(outcomes: Outcomes) -> None:
    table = pq.read_table(io.BytesIO(outcomes.parquet("gained")))
    assert table.num_rows == outcomes.count("gained")
    assert set(table.column_names) >= {"index", "label", "part", "predictions", "scores", "confidences"}


def test_a_variant_without_outcomes_is_a_sentence(snapshot: Snapshot) -> None:
    body = snapshot.sweeps()[0]["body"]
    ids = [VARIANTS[0].artefact_id, VARIANTS[-1].artefact_id]
    wanted = "Not all of these variants were run on entailment"
    with pytest.raises(BadInput, match=wanted), open_outcomes(snapshot, body, body["tasks"][0], ids, ids[0]):
        pass


def test_texts_of_data_that_is_gone_are_empty(snapshot: Snapshot) -> None:
    jobs = [row["job"] for row in snapshot.rows("select job from records where kind = 'evaluate' limit 1")]
    assert example_texts(jobs, sample.TASK) == {}
    assert example_texts(jobs, "another task") == {}
