"""Claims as data: files, cells, rounding, cards."""

from pathlib import Path

import pytest

from bench.claims.card import claims_of_card
from bench.claims.checks import Context, check_of
from bench.claims.measured import Measured, Number
from bench.claims.published import Claim, chosen, read_claims, shipped_claims
from bench.errors import BadInput

FILE = """
model: mine
claims:
  - {id: size, text: its size, value: 12.5, unit: MB, source: our wiki, check: {kind: linears, model: bert 2-128}}
  - {id: table, text: scores, unit: "%", source: our wiki, cells: {one: 1, two: 2.5}, check: {kind: quality, metric: m}}
"""
ONE = "{id: x, text: t, source: s, value: 1, check: {}}"
CARD = """---
license: mit
model-index:
  - name: our-model
    results:
      - task: {type: text-classification}
        dataset: {name: Matched, type: glue, split: validation}
        metrics: [{type: accuracy, value: 68.0}, {type: f1, value: not yet}]
---
# Our model
"""


def test_a_table_becomes_a_claim_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE, encoding="utf-8")
    found = read_claims(path)
    assert [(c.id, c.value, c.cell, c.model) for c in found] == [
        ("size", 12.5, "", "mine"),
        ("table.one", 1.0, "one", "mine"),
        ("table.two", 2.5, "two", "mine"),
    ]
    assert found[2].text == "scores: two"
    assert [c.said() for c in found] == ["12.5 MB", "1 %", "2.5 %"]


@pytest.mark.parametrize(
    ("value", "unit", "measured", "fits"),
    [
        (11.3, "M", 11_267_900, True),
        (11.3, "M", 11_240_000, False),
        (193, "count", 193, True),
        (193, "count", 194, False),
        (10.99, "GB", 10_993_672_192, True),
    ],
)
def test_a_number_fits_if_it_rounds_to_what_was_published(value: float, unit: str, measured: float, fits: bool) -> None:
    claim = Claim.model_validate({"id": "x", "text": "t", "value": value, "unit": unit, "source": "s", "check": {}})
    assert claim.fits(measured) is fits


def test_a_rough_number_says_how_rough() -> None:
    claim = Claim(id="x", text="t", value=40.0, unit="%", source="s", check={}, places=-1)
    assert claim.fits(39.4)
    assert not claim.fits(34.9)


def test_claims_are_chosen_by_model_or_id() -> None:
    every = shipped_claims()
    assert {c.model for c in chosen(every, ["bert-mini"])} == {"prajjwal1/bert-mini"}
    assert {c.id for c in chosen(every, ["size-"])} >= {"size-int8", "size-float"}
    with pytest.raises(BadInput, match="No claim has an id or model like nothing"):
        chosen(every, ["nothing"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: [", "cannot be read"),
        ("model: m\nclaims:\n  - {id: x, text: t, source: s, check: {}}\n", "either a value or cells"),
        ("model: m\nclaims:\n  - {id: x, text: t, source: s, value: 1, chek: {}}\n", r"Unknown key|lacks the key"),
        (f"model: m\nclaims: [{ONE}, {ONE}]", "the id 'x' twice"),
    ],
)
def test_a_wrong_file_is_answered_by_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=words):
        read_claims(path)


def test_a_model_card_s_index_is_read_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(CARD, encoding="utf-8")
    (claim,) = claims_of_card(path)
    assert (claim.model, claim.text, claim.value) == ("our-model", "accuracy on Matched (validation)", 68.0)
    numbers = [Number("s", "base", "accuracy", "matched", 0.683, 0.678, 0.688)]
    assert check_of(claim).judge(claim, Context({}, Measured(numbers))).verdict == "reproduced"
    assert check_of(claim).judge(claim, Context({}, Measured([]))).verdict == "needs weights"


@pytest.mark.parametrize(
    "text", ["# no block", "---\nlicense: mit\n---\n", "---\n[\n---\n", "---\nmodel-index: 3\n---\n"]
)
def test_a_card_without_an_index_is_answered_by_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"The (YAML block of the )?model card"):
        claims_of_card(path)
