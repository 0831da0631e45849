"""One file a kind of task. A kind is imported when a sweep names it."""

TASKS: dict[str, str] = {
    "classification": "bench.tasks.classification:Classification",
    "generation": "bench.tasks.generation:Generation",
    "heuristics": "bench.tasks.heuristics:Heuristics",
    "language_modelling": "bench.tasks.language_modelling:LanguageModelling",
    "multiple_choice": "bench.tasks.multiple_choice:MultipleChoice",
    "summarisation": "bench.tasks.summarisation:Summarisation",
    "zero_shot": "bench.tasks.zero_shot:ZeroShot",
}
