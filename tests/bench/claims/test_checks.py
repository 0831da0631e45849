"""Every kind of check by hand, with controls: a changed number must change the verdict."""

from typing import Any

import pytest

from bench.claims.checks import Context, check_of
from bench.claims.copies import copied
from bench.claims.findings import Finding
from bench.claims.measured import Measured, Number
from bench.claims.published import Claim, shipped_claims
from bench.claims.run import judge
from bench.claims.sizes import builds, unit_hypotheses
from bench.errors import BadInput
from bench.methods.layer_copy import layer_map

SHIPPED = shipped_claims()


def claim(value: float | str, check: dict[str, Any], unit: Any = "", **more: Any) -> Claim:
    return Claim(id="x", text="t", value=value, unit=unit, source="s", check=check, **more)


def found(value: float | str, check: dict[str, Any], unit: Any = "", others: dict[str, float] | None = None) -> Finding:
    mine = claim(value, check, unit)
    table = {
        i: claim(v, {"kind": "hardware", "reason": "r"}, cell=i.partition(".")[2]) for i, v in (others or {}).items()
    }
    return check_of(mine).judge(mine, Context({**table, "x": mine}))


def shipped(model: str, claim_id: str, **changes: Any) -> Finding:
    """The verdict on a shipped claim, or on one that was changed."""
    one = next(c for c in SHIPPED if model in c.model and c.id == claim_id).model_copy(update=changes)
    (judged,) = judge([one], [one if (c.model, c.id) == (one.model, one.id) else c for c in SHIPPED])
    return judged.finding


def test_the_int8_size_is_that_of_another_build_than_the_one_described() -> None:
    finding = shipped("Intel", "size-int8")
    assert finding.verdict == "not reproduced"
    assert "'all 193 in int8' (625.0 MB)" in finding.reason
    assert finding.found == "40 of 193 in float32: 1,014.8 MB"
    assert shipped("Intel", "size-int8", value=1015.0).verdict == "reproduced"
    assert "no build that was tried" in shipped("Intel", "size-int8", value=700.0).reason
    assert shipped("Intel", "size-uploaded").verdict == "reproduced"


def test_builds_are_the_measured_ones_within_a_thousandth() -> None:
    sizes = builds("bart-large-cnn")
    assert sizes["float32"] == pytest.approx(1_625_161_728, rel=1e-3)
    assert sizes["all 193 in int8"] == pytest.approx(625_359_632, rel=1e-3)
    assert sizes["192 in int8, the output layer in float32"] == pytest.approx(573_083_891, rel=1e-3)
    assert sizes["40 of 193 in float32"] == pytest.approx(1_015_113_975, rel=1e-3)
    assert sizes["40 of 193 in float32, embeddings uint8"] == pytest.approx(1_066_953_954, rel=1e-3)
    assert "40 of 133 in float32" not in builds("distilbart-cnn-12-6")


def test_the_float_size_is_a_slip_of_units() -> None:
    for claim_id, value in (("size-float", 1625.0), ("size-float-sibling", 1222.0)):
        finding = shipped("Intel", claim_id)
        assert finding.verdict == "not reproduced"
        assert "the hub's decimal GB times 1024" in finding.reason
        assert shipped("Intel", claim_id, value=value).verdict == "reproduced"
    assert "none of the usual readings" in shipped("Intel", "size-float", value=1500.0).reason
    assert round(unit_hypotheses(1_625_161_728)["the hub's decimal GB times 1024"]) == 1669


def test_a_drop_under_0_4_holds_for_matched_pairs_alone() -> None:
    finding = shipped("distilbart", "drop")
    assert (finding.verdict, finding.found) == ("not reproduced", "matched 0.34, mismatched 0.49")
    assert finding.reason == "true for matched, not for mismatched"
    assert shipped("distilbart", "drop", value=0.5).verdict == "reproduced"


def test_the_title_does_not_fit_the_list_of_modules() -> None:
    finding = shipped("Intel", "title")
    assert finding.verdict == "not reproduced"
    assert finding.found == "the list fits BART large"
    assert "14 of the 40 modules" in finding.reason
    assert "distilbart-cnn-12-6" in finding.reason
    assert shipped("Intel", "title", value="BART large").verdict == "reproduced"


def test_the_paper_s_cell_does_not_fit_its_own_mean() -> None:
    assert shipped("distilbert", "paper-mnli").verdict == "not reproduced"
    assert shipped("distilbert", "readme-mnli").verdict == "reproduced"


def test_sixty_percent_faster_is_not_sixty_percent_less_time() -> None:
    assert shipped("distilbert", "faster").verdict == "reproduced"
    assert shipped("distilbert", "less-time").found == "38.62 %"
    assert shipped("distilbert", "less-time").verdict == "not reproduced"


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 6, 9, 12])
def test_copies_are_found_by_comparing_bits(keep: int) -> None:
    assert copied(12, keep) == list(layer_map(12, keep))


def test_counts_of_the_real_architectures() -> None:
    assert found("12+9", {"kind": "layers", "model": "bart-large-mnli 12-9"}).verdict == "reproduced"
    assert found("12+8", {"kind": "layers", "model": "bart-large-mnli 12-9"}).verdict == "not reproduced"
    whole = {"kind": "parameters", "model": "bart-large-mnli 12-9"}
    assert found(356_954_115, whole, "count").verdict == "reproduced"
    assert found(356_954_116, whole, "count").verdict == "not reproduced"
    frozen = {**whole, "frozen": ["encoder", "embeddings"]}
    assert found(152_224_771, frozen, "count").verdict == "reproduced"
    assert found(356_954_115, whole, "count").verdict == "reproduced"  # counting left nothing frozen
    assert found(5.5, {"kind": "parameters", "model": "mistral-7b 24"}, "B").verdict == "reproduced"
    assert found(5.4, {"kind": "parameters", "model": "mistral-7b 24"}, "B").verdict == "not reproduced"


def test_arithmetic_by_hand() -> None:
    others = {"a": 668.0, "b": 410.0, "t.one": 1.0, "t.two": 4.0}

    def result(operation: str, *of: str) -> str:
        return found(1.0, {"kind": "arithmetic", "operation": operation, "of": list(of)}, "%", others).found

    assert result("ratio", "a", "b") == "1.63 %"
    assert result("relative_loss", "a", "b") == "38.62 %"
    assert result("retention", "a", "b") == "61.38 %"
    assert result("mean", "t") == "2.50 %"


def test_chance_is_what_runs_of_one_model_differ_by() -> None:
    check = {"kind": "chance", "chance": 50.0, "runs": [50.0, 51.9]}
    assert found(51.9, check, "%").verdict == "not reproduced"
    assert found(66.4, check, "%").verdict == "needs weights"


def number(estimate: float, half: float, **changes: Any) -> Number:
    values = {"sweep": "bert-mini", "variant": "base", "metric": "accuracy", "scope": "matched", "estimate": estimate}
    return Number(**{**values, "low": estimate - half, "high": estimate + half, **changes})


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ([], "needs weights"),
        ([number(0.683, 0.005)], "reproduced"),
        ([number(0.70, 0.005)], "not reproduced"),
        ([number(0.683, 0.005, variant="int8")], "needs weights"),
        ([number(0.683, 0.005, sweep="other")], "needs weights"),
    ],
)
def test_scores_are_compared_with_the_interval_of_a_store(numbers: list[Number], verdict: str) -> None:
    check = {
        "kind": "quality",
        "sweep": "bert_mini",
        "task": "matched",
        "metric": "accuracy",
        "variant": "{cell}",
        "factor": 100,
    }
    mine = claim(68.0, check, "%", cell="base")
    assert check_of(mine).judge(mine, Context({"x": mine}, Measured(numbers))).verdict == verdict


def test_what_is_wrong_with_a_check_is_said_in_a_sentence() -> None:
    with pytest.raises(BadInput, match=r"no kind of check called 'paramters'.*Did you mean 'parameters'"):
        check_of(claim(1, {"kind": "paramters"}))
    with pytest.raises(BadInput, match="Unknown key 'modle'"):
        check_of(claim(1, {"kind": "parameters", "model": "bert-base", "modle": "x"}))
    with pytest.raises(BadInput, match="the architecture 'bort'"):
        found(1, {"kind": "parameters", "model": "bort"})
    with pytest.raises(BadInput, match="no claim of this model called 'nothing'"):
        found(1, {"kind": "arithmetic", "operation": "mean", "of": ["nothing"]})


def test_every_shipped_claim_names_a_check_that_exists() -> None:
    assert len({(c.model, c.id) for c in SHIPPED}) == len(SHIPPED) > 150
    for one in SHIPPED:
        check_of(one)
