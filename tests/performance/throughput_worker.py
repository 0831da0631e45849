"""One side of `bench_throughput`: a process that holds a model and does what it is asked, one line of JSON at a time.

`python -m tests.performance.throughput_worker SIDE FOLDER DATA` where SIDE is one of SIDES, each in the environment
that has its libraries. A question is {"do": "run" | "answers" | "versions", "batch": rows}; paredown chooses its own
batches.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Answer = Callable[[int], Any]  # from the rows of a batch to what the side gives for all texts
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "evaluate", "datasets")
LENGTH = 256  # tokens; longer texts are cut by all sides
SOURCE, NEW = 160, 40  # tokens of what is summarised, and of a continuation at most
PROMPT = 24  # tokens that are continued


def _model_side(folder: Path, data: dict[str, Any]) -> tuple[Any, list[Any]]:
    """paredown's model and its examples."""
    from bench.data import Example
    from bench.models import load
    from bench.processor import prepare

    prepare()
    examples = [
        Example(i, text, None, label) for i, (text, label) in enumerate(zip(data["texts"], data["labels"], strict=True))
    ]
    return load(folder), examples


def paredown(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The classification task, window by window, as an evaluation job runs it."""
    from bench.tasks.classification import Classification
    from bench.tasks.labels import classify
    from bench.tasks.windows import windows_of

    model, examples = _model_side(folder, data)
    task = Classification(max_length=LENGTH)

    def run(_: int) -> Any:
        return [task.outcomes(model, window) for window in windows_of(examples)]

    def answers(_: int) -> Any:
        right = sum(float(part.score.sum()) for part in run(0)) / len(examples)
        logits = classify(model, data["texts"], None, max_length=LENGTH, batch_tokens=task.batch_tokens)
        return {"logits": logits.tolist(), "accuracy": right}

    return run, answers


def pipeline(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The text-classification pipeline of transformers, given all texts at once."""
    import transformers

    pipe: Any = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    texts = data["texts"]

    def run(batch: int) -> Any:
        return pipe(texts, batch_size=batch, truncation=True)

    def answers(batch: int) -> Any:
        names = pipe.model.config.id2label
        found = pipe(texts, batch_size=batch, truncation=True, top_k=None, function_to_apply="none")
        scores = [{each["label"]: each["score"] for each in one} for one in found]
        return {"logits": [[one[names[i]] for i in sorted(names)] for one in scores]}

    return run, answers


def evaluator(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The text-classification evaluator of `evaluate` around that pipeline, with accuracy."""
    import datasets  # type: ignore[import-untyped]
    import evaluate  # type: ignore[import-untyped]
    import transformers

    from bench.metrics.accuracy import Accuracy

    # evaluate 0.4.6 asks whether a model is one of TensorFlow; transformers 5 has no such class any more. Importing
    # evaluate makes the module of transformers anew, so this comes after.
    vars(transformers)["TFPreTrainedModel"] = type("TFPreTrainedModel", (), {})
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict({"text": data["texts"], "label": data["labels"]})
    judge, metric = evaluate.evaluator("text-classification"), Accuracy()
    pipes: dict[int, Any] = {}

    def run(batch: int) -> Any:
        if batch not in pipes:
            made: Any = transformers.pipeline
            pipes[batch] = made("text-classification", model=str(folder), device="cpu", batch_size=batch)
        return judge.compute(model_or_pipeline=pipes[batch], data=rows, metric=metric)

    def answers(batch: int) -> Any:
        return {"accuracy": run(batch)["accuracy"]}

    return run, answers


def paredown_summaries(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The summarisation task, by the model's own settings of the search."""
    from bench.tasks.summarisation import Summarisation
    from bench.tasks.windows import windows_of

    model, examples = _model_side(folder, data)
    task = Summarisation(source_tokens=SOURCE, num_beams="model")

    def run(_: int) -> Any:
        return [task.outcomes(model, window) for window in windows_of(examples)]

    def answers(_: int) -> Any:
        written = {int(i): text for part in run(0) for i, text in zip(part.index, part.prediction, strict=True)}
        return {"texts": [written[i] for i in range(len(examples))]}

    return run, answers


def summarizer(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The summarization pipeline, which the last releases of transformers 4 have."""
    import transformers

    tokenizer: Any = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    pipe: Any = transformers.pipeline("summarization", model=str(folder), tokenizer=tokenizer, device="cpu")  # type: ignore[call-overload]

    def run(batch: int) -> Any:
        return pipe(data["texts"], batch_size=batch, truncation=True)

    def answers(batch: int) -> Any:
        return {"texts": [str(one["summary_text"]).strip() for one in run(batch)]}

    return run, answers


def paredown_texts(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The generation task: greedy continuations."""
    from bench.tasks.generation import Generation
    from bench.tasks.windows import windows_of

    model, examples = _model_side(folder, data)
    task = Generation(prompt_tokens=PROMPT, new_tokens=NEW, max_length=LENGTH)

    def run(_: int) -> Any:
        return [task.outcomes(model, window) for window in windows_of(examples)]

    def answers(_: int) -> Any:
        written = {int(i): text for part in run(0) for i, text in zip(part.index, part.prediction, strict=True)}
        return {"texts": [written[i] for i in range(len(examples))]}

    return run, answers


def writer(folder: Path, data: dict[str, Any]) -> tuple[Answer, Answer]:
    """The text-generation pipeline of transformers on the same beginnings, greedily."""
    import transformers

    pipe: Any = transformers.pipeline("text-generation", model=str(folder), device="cpu")
    pipe.tokenizer.padding_side = "left"
    ids = pipe.tokenizer(data["texts"], add_special_tokens=False)["input_ids"]
    beginnings = pipe.tokenizer.batch_decode([row[:PROMPT] for row in ids])
    settings = {"do_sample": False, "max_new_tokens": NEW, "max_length": None, "return_full_text": False}

    def run(batch: int) -> Any:
        return pipe(beginnings, batch_size=batch, **settings)

    def answers(batch: int) -> Any:
        return {"texts": [str(one[0]["generated_text"]).strip() for one in run(batch)]}

    return run, answers


SIDES = {
    "paredown": paredown,
    "pipeline": pipeline,
    "evaluator": evaluator,
    "paredown_summaries": paredown_summaries,
    "summarizer": summarizer,
    "paredown_texts": paredown_texts,
    "writer": writer,
}


def versions() -> dict[str, str]:
    """What is installed where this runs."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Answer questions until there are no more."""
    answering = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    import torch

    torch.set_num_threads(1)
    side, folder, data = sys.argv[1:]
    run, answers = SIDES[side](Path(folder), json.loads(Path(data).read_text(encoding="utf-8")))
    for line in sys.stdin:
        question = json.loads(line)
        found: Any = None
        begin, used = time.perf_counter(), time.process_time()
        if question["do"] == "run":
            run(question["batch"])
        elif question["do"] == "answers":
            found = answers(question["batch"])
        else:
            found = versions()
        took = {"seconds": time.perf_counter() - begin, "processor": time.process_time() - used}
        answering.write(json.dumps({**took, "found": found}) + "\n")
        answering.flush()


if __name__ == "__main__":
    main()
