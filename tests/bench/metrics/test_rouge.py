"""ROUGE by hand, as the package gives it, and sentences found without anything downloaded."""

import importlib.metadata

import pytest
from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

from bench.errors import BadInput
from bench.metrics import rouge as module
from bench.metrics.rouge import installed, rouge, sentences

REFERENCE = "the cat sat\non the mat"
TEXT = "on the mat\nthe cat lay"


def test_by_hand() -> None:
    """Six words each. Five in common, "the" twice. Pairs: the-cat, on-the, the-mat of five each side, and cat-sat,
    sat-on against mat-the, cat-lay: three in common. As one line the longest common subsequence is "on the mat" or
    "the cat": 3. Line by line the two lines give "the cat" and "on the mat": 5.
    """
    found = rouge([REFERENCE], [TEXT], stemmer=False, splitter="newline")
    assert {kind: values[0] for kind, values in found.items()} == pytest.approx(
        {"rouge1": 100 * 5 / 6, "rouge2": 100 * 3 / 5, "rougeL": 100 * 3 / 6, "rougeLsum": 100 * 5 / 6}
    )


def test_precision_and_recall_are_balanced() -> None:
    """Two of four words against two of three: F = 2 * 2 / (4 + 3)."""
    found = rouge(["a red cat"], ["a red dog runs"], stemmer=False, splitter="newline")
    assert found["rouge1"][0] == pytest.approx(100 * 4 / 7)


def test_stems_and_order() -> None:
    pair = ["the cats were running"], ["the cat was run"]
    assert rouge(*pair, stemmer=False, splitter="newline")["rouge1"][0] == pytest.approx(25)
    assert rouge(*pair, stemmer=True, splitter="newline")["rouge1"][0] == pytest.approx(75)
    many = rouge(["a b", "c d"], ["a b", "x y"], stemmer=False, splitter="newline")
    assert many["rougeL"].tolist() == [100, 0]


@pytest.mark.parametrize("stemmer", [False, True])
def test_is_what_the_package_says(stemmer: bool) -> None:
    pairs = [
        ("Police killed the gunman.\nHe had fired at the police.", "The gunman was killed.\nPolice had fired."),
        ("one two three", ""),
        ("Ein Satz. Und noch einer.", "Noch ein Satz."),
    ]
    scorer = RougeScorer(list(module.KINDS), use_stemmer=stemmer)
    found = rouge([r for r, _ in pairs], [t for _, t in pairs], stemmer=stemmer, splitter="newline")
    for i, (reference, text) in enumerate(pairs):
        theirs = scorer.score(reference, text)
        assert {k: v[i] for k, v in found.items()} == pytest.approx({k: 100 * v.fmeasure for k, v in theirs.items()})


def test_only_rouge_lsum_depends_on_sentences() -> None:
    flat = REFERENCE.replace("\n", ". ").capitalize() + ".", TEXT.replace("\n", ". ").replace(". t", ". T") + "."
    reference, text = flat[0].replace(". o", ". O"), flat[1].capitalize().replace(". t", ". T")
    lines, found = (rouge([reference], [text], stemmer=False, splitter=s) for s in ("newline", "punctuation"))
    assert lines["rougeL"] == found["rougeL"]
    assert lines["rougeLsum"][0] == pytest.approx(50)
    assert found["rougeLsum"][0] == pytest.approx(100 * 5 / 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He ran. She slept.", ["He ran.", "She slept."]),
        ("Mr. Smith met Dr. Jones at 5.30 p.m. They spoke.", ["Mr. Smith met Dr. Jones at 5.30 p.m.", "They spoke."]),
        ("He lives in the U.S. Army base. Really?", ["He lives in the U.S. Army base.", "Really?"]),
        ('"Stop!" he said. "Why?" She left.', ['"Stop!" he said.', '"Why?"', "She left."]),
        ("It cost 3.5 million. 20 people came.", ["It cost 3.5 million.", "20 people came."]),
        ("No end", ["No end"]),
        ("First line\nsecond line.", ["First line", "second line."]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("Wait… What?", ["Wait…", "What?"]),
        (" \n ", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text, "punctuation") == expected


def test_lines() -> None:
    assert sentences("A. B.\n\n C ", "newline") == ["A. B.", "C"]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert installed() == importlib.metadata.version("rouge-score")
    monkeypatch.setattr(module, "version", absent)
    with pytest.raises(BadInput, match="pip install rouge-score"):
        rouge(["a"], ["a"], stemmer=False, splitter="newline")
