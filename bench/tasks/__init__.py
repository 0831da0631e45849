"""One file a kind of task. A kind is imported when a sweep names it."""

TASKS: dict[str, str] = {
    "classification": "bench.tasks.classification:Classification",
}
