"""The YAML block at the head of a card, as the hub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.metrics import METRICS
from leaderboard.card.subject import Subject
from leaderboard.licences import NOT_RECORDED, NOT_STATED
from leaderboard.markdown import plain

# Identifiers that the hub knows for licences; any other is "other" with its name.
IDENTIFIERS = (
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m "
    "afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl "
    "gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 "
    "postgresql ofl-1.1 ncsa unlicense zlib pddl gemma llama2 llama3 llama3.1 llama3.2 llama3.3"
)
HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
HUB_DATA = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)@")
OF_TASKS = {
    "classification": "text-classification",
    "heuristics": "text-classification",
    "zero_shot": "zero-shot-classification",
    "summarisation": "summarization",
    "language_modelling": "text-generation",
    "generation": "text-generation",
    "multiple_choice": "multiple-choice",
}
OF_CLASSES = {
    "ForSequenceClassification": "text-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "fill-mask",
}
METRIC_IDS = {"macro_f1": "f1", "micro_f1": "f1"}
QUANTISES = frozenset({"int8_dynamic", "weight_only", "fp8"})
MODELS = ("base model", "published model", "teacher")


def front_matter(about: Subject) -> str:
    """The block's YAML, without the lines of hyphens around it."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [EvalResult(**each) for each in _results(about)]
    base = _base_model(about)
    words: dict[str, Any] = stated_licence(about.licences)
    if bool(base) and bool(QUANTISES & set(about.row.methods)):
        words["base_model_relation"] = "quantized"
    data = ModelCardData(
        library_name=about.loading.library,
        pipeline_tag=pipeline(about),
        base_model=base,
        datasets=_data_sets(about) or None,
        tags=["paredown", *dict.fromkeys(name.replace("_", "-") for name in about.row.methods)],
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=_word(about.row.name) if results else None,
        eval_results=results or None,
        **words,
    )
    return str(data.to_yaml())


def _word(text: str) -> str:
    """On one line, without signs that turn the direction of writing."""
    return plain(" ".join(text.split()))


def stated_licence(rows: Sequence[tuple[str, str, str, str]]) -> dict[str, Any]:
    """What all models that went into it state alike; nothing where one states none, or another: that is no guess."""
    stated = {"-".join(licence.casefold().split()): licence for part, _, licence, _ in rows if part in MODELS}
    if len(stated) != 1:
        return {}
    ((found, licence),) = stated.items()
    if licence == NOT_STATED or licence.startswith(NOT_RECORDED):
        return {}
    return {"license": found} if found in IDENTIFIERS.split() else {"license": "other", "license_name": _word(licence)}


def _base_model(about: Subject) -> str | None:
    """The id that the base has on the hub, None for a folder or a shipped model."""
    name = str(about.declared["model"]).partition("@")[0]
    return name if HUB_ID.match(name) and not name.startswith((".", "/")) else None


def _data_sets(about: Subject) -> list[str]:
    """Ids on the hub of the data that it was trained on."""
    names = [name for part, name, *_ in about.licences if part == "training data"]
    return list(dict.fromkeys(found[1] for name in names if (found := HUB_DATA.search(name))))


def pipeline(about: Subject) -> str | None:
    """What the hub calls the use of the model: by the sweep's first task where its head fits, else by its head."""
    head = str(about.loading.architecture.class_name)
    by_head = next((tag for ending, tag in OF_CLASSES.items() if head.endswith(ending)), None)
    by_task = OF_TASKS.get(str(about.known.tasks[0]["kind"])) if about.known.tasks else None
    if by_task == "zero-shot-classification" and by_head == "text-classification":
        return by_task
    return by_task if by_task == "summarization" and head.endswith("ForConditionalGeneration") else by_head


def _results(about: Subject) -> Iterator[dict[str, Any]]:
    """Scores on whole tasks, as the hub's index of results has them."""
    for task in about.known.tasks:
        for metric in task.get("metrics", ()):
            cell = about.row.cells.get((metric, task["name"]))
            if cell is not None and metric in METRICS:
                yield {
                    "task_type": OF_TASKS.get(str(task["kind"]), "other"),
                    "dataset_name": _word(str(task["name"])),
                    "dataset_type": _data_type(task),
                    "metric_type": METRIC_IDS.get(metric, metric),
                    "metric_name": METRICS[metric].title,
                    "metric_value": cell.estimate,
                    "metric_args": {"low": cell.low, "high": cell.high, "level": 0.95, "n": cell.n},
                }


def _data_type(task: Mapping[str, Any]) -> str:
    """The data's id on the hub, else the name of the task."""
    for each in task.get("licences", ()):
        found = HUB_DATA.search(str(each["name"]))
        if found:
            return found[1]
    return _word(str(task["name"]))
