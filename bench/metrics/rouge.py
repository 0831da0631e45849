"""ROUGE of texts against their references, by the package rouge-score (C.-Y. Lin, ROUGE, 2004)."""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import BadInput

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
Splitter = Literal["newline", "punctuation"]

# What ends in a full stop without ending a sentence. A single capital letter, as in J. Smith or U.S., does not either.
_SHORT = {
    *("mr", "mrs", "ms", "dr", "prof", "rev", "gen", "col", "lt", "sgt", "capt", "cmdr", "gov", "sen", "rep", "hon"),
    *("st", "jr", "sr", "vs", "etc", "e.g", "i.e", "cf", "al", "fig", "no", "vol", "pp", "ed", "inc", "ltd", "co"),
    *("corp", "dept", "approx", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
}
_END = re.compile(r"""(?:[.!?…]+["'”’)\]]*\s+(?=["'“‘(\[]*[A-Z0-9])|[。！？]+["'”’」』）]*\s*|\n+)""")
_LAST_WORD = re.compile(r"([^\s\"'“‘(\[]+)$")


def installed() -> str:
    """The installed version of rouge-score. Raises BadInput where there is none."""
    try:
        return version("rouge-score")
    except PackageNotFoundError as error:
        raise BadInput(
            "Summaries are scored with rouge-score, which is not installed: pip install rouge-score."
        ) from error


def sentences(text: str, splitter: Splitter) -> list[str]:
    """The sentences of a text, none of them empty.

    "newline": lines. "punctuation": also where ., !, ? or … and then a blank stand before a capital letter or a
    number, unless the last word is a known short form or a single capital letter.
    """
    if splitter == "newline":
        parts = text.split("\n")
    else:
        parts, begin = [], 0
        for end in _END.finditer(text):
            if not _is_short(text[begin : end.start()], text[end.start() : end.end()]):
                parts.append(text[begin : end.end()])
                begin = end.end()
        parts.append(text[begin:])
    return [part.strip() for part in parts if part.strip()]


def _is_short(before: str, mark: str) -> bool:
    """Whether the full stop belongs to the word before it."""
    word = _LAST_WORD.search(before)
    if word is None or mark.rstrip() != ".":
        return False
    last = word[1]
    return last.lower() in _SHORT or bool(re.fullmatch(r"(?:[A-Z]\.)*[A-Z]", last))


def rouge(
    references: Sequence[str], texts: Sequence[str], *, stemmer: bool, splitter: Splitter
) -> dict[str, NDArray[np.float64]]:
    """F-measures times 100 of each text, one array [n] a kind of ROUGE.

    rougeLsum joins the longest common subsequences sentence by sentence, so it depends on the splitter; the others
    take a text as one line. Raises BadInput without the package.
    """
    installed()
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

    scorer = RougeScorer(list(KINDS), use_stemmer=stemmer)
    found = np.zeros((len(texts), len(KINDS)))
    for i, (reference, text) in enumerate(zip(references, texts, strict=True)):
        lines = ["\n".join(sentences(t, splitter)) for t in (reference, text)]
        scores = scorer.score(*lines)
        found[i] = [100 * scores[kind].fmeasure for kind in KINDS]
    return {kind: found[:, j] for j, kind in enumerate(KINDS)}
