"""Rows of METRICS that tasks give beside accuracy and F1, in the order of the fields of `Metric`."""

from typing import Literal

_Row = tuple[str, str, str, Literal["higher", "lower"], bool, str, tuple[str, ...], float]


def _rouge(name: str, title: str, what: str) -> _Row:
    meaning = f"Mean over texts of the F-measure, times 100, of {what} of the text and its reference."
    return (name, title, "points", "higher", False, meaning, ("mean", name), 100.0)


def _share(name: str, title: str, better: Literal["higher", "lower"], meaning: str, *source: str) -> _Row:
    return (name, title, "1", better, False, meaning, source, 1.0)


def _perplexity(name: str, title: str, meaning: str, nll: str, tokens: str) -> _Row:
    return (name, title, "plain", "lower", False, meaning, ("exp ratio", nll, tokens), 0.0)


OF_TASKS: tuple[_Row, ...] = (
    _share(
        "micro_f1",
        "micro F1",
        "higher",
        "Of all labels named by the data or the model, the share named by both: 2 both / (data + model).",
        *("ratio", "named_twice", "named"),
    ),
    _share(
        "accuracy_summed",
        "accuracy, summed rule",
        "higher",
        "Accuracy where non-entailment is predicted if neutral and contradiction together are more probable than "
        "entailment.",
        *("share", "summed"),
    ),
    _rouge("rougeLsum", "ROUGE-Lsum", "the longest common subsequences, joined sentence by sentence,"),
    _rouge("rouge1", "ROUGE-1", "the words"),
    _rouge("rouge2", "ROUGE-2", "the pairs of neighbouring words"),
    _rouge("rougeL", "ROUGE-L", "the longest common subsequence"),
    (
        "text_length",
        "length of texts",
        "plain",
        "lower",
        False,
        "Mean number of tokens written for a text, the end token among them. Shorter is cheaper, not better.",
        ("mean", "length"),
        0.0,
    ),
    _perplexity(
        "perplexity",
        "perplexity",
        "The exponential of the mean negative log-likelihood of a token, in nats, over all tokens of all texts. A "
        "text's first token is scored only after a beginning-of-text token.",
        "nll",
        "tokens",
    ),
    _share(
        "token_accuracy",
        "next-token accuracy",
        "higher",
        "Share of tokens that the model finds the most likely after what stands before them.",
        *("ratio", "hits", "tokens"),
    ),
    _share(
        "repeated_4gram",
        "repeated 4-grams",
        "lower",
        "Share of the 4-grams of tokens that stand earlier in the same text already.",
        *("ratio", "repeated", "fourgrams"),
    ),
    _share(
        "distinct_1",
        "distinct tokens",
        "higher",
        "Number of different tokens of each text divided by its tokens, both summed over texts.",
        *("ratio", "distinct_unigrams", "unigrams"),
    ),
    _share(
        "distinct_2",
        "distinct 2-grams",
        "higher",
        "Number of different pairs of neighbouring tokens of each text divided by its pairs, both summed over texts.",
        *("ratio", "distinct_bigrams", "bigrams"),
    ),
    _share(
        "eos_rate",
        "texts brought to an end",
        "higher",
        "Share of texts that the model ended by itself before the most tokens that it was given.",
        *("share", "ended"),
    ),
    _perplexity(
        "own_perplexity",
        "perplexity of own text",
        "Perplexity under the base of what the model wrote. Low is fluent, or dull: read it beside repeated 4-grams.",
        "judge_nll",
        "judged",
    ),
    _share(
        "greedy_agreement",
        "agreement until the first difference",
        "higher",
        "Of the tokens written, the share before the first that the base would not have written next.",
        *("ratio", "same", "judged"),
    ),
)
