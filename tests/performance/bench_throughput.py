"""Examples a second: paredown's tasks against the pipelines of transformers and the evaluator of `evaluate`.

`make benchmark`, or `python -m tests.performance.bench_throughput [rounds]` where `.venv-peers/` is already made; with
`--outputs` nothing is timed and only what the sides give is compared, which needs no quiet machine. Every side is a
process in an environment of its own that holds the same model and waits while another works. The rivals first try batch
sizes and keep their best; then all sides take turns in random order, in rounds, and processes start anew half way. A
ratio is the median over rounds of the ratio of two times of the same round, with the interval of a median; by the
clock, and by the time that the one thread of each side had a processor, which a busy machine changes little. Nothing is
judged: a missed aim is printed as what it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.zoo import model_folder, write
from tests.performance.bench_int8_linear import cpu_name, ratio
from tests.performance.throughput_worker import LENGTH

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers"
ENVIRONMENTS = {"pipeline": "pipeline", "evaluator": "evaluator", "writer": "pipeline", "summarizer": "summarizer"}
# Of these the libraries that paredown itself uses have what it takes; a summarisation pipeline they have no more.
IN_OURS = ("pipeline", "evaluator", "writer")
SIZES = (1, 2, 4, 8, 16, 32, 64)
QUIET = 2.0  # load at which a table is fit to be kept


@dataclass(frozen=True)
class Contest:
    """What is compared: our side first, the same model and texts for all."""

    title: str
    sides: tuple[str, ...]
    model: Path
    data: Path
    examples: int


class Visit(NamedTuple):
    """Seconds for all texts: by the clock, and of processor time."""

    clock: float
    processor: float


class Side:
    """One process that answers."""

    def __init__(self, name: str, contest: Contest, python: Path) -> None:
        command = [
            str(python),
            "-m",
            "tests.performance.throughput_worker",
            name,
            str(contest.model),
            str(contest.data),
        ]
        quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(contest.data.parent / "hf"), "TRANSFORMERS_VERBOSITY": "error"}
        alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.name = name
        self.batch = 1
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **quiet, **alone},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, do: str, batch: int | None = None) -> dict[str, Any]:
        """The answer to a question, when it comes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, "batch": batch or self.batch}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self._process.wait()}: start its worker by hand to see why.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def visit(self, batch: int | None = None) -> Visit:
        found = self.ask("run", batch)
        return Visit(found["seconds"], found["processor"])

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Result:
    """What a contest gave, by the name of a side."""

    visits: dict[str, list[Visit]]  # one a round
    sizes: dict[str, int] = field(default_factory=dict)  # rows of a batch at which it was fastest
    answers: dict[str, Any] = field(default_factory=dict)  # for all texts, the rivals one text at a time
    versions: dict[str, dict[str, str]] = field(default_factory=dict)


def interpreter(name: str, *, timed: bool) -> Path | None:
    """The Python of a side; None where its libraries are not installed.

    A rival is timed in an environment of its own. Without one, what it gives may be compared in ours where that has it.
    """
    if name not in ENVIRONMENTS:
        return Path(sys.executable)
    python = PEERS / ENVIRONMENTS[name] / "bin" / "python"
    if python.exists():
        return python
    return Path(sys.executable) if name in IN_OURS and not timed else None


@contextmanager
def started(contest: Contest, sizes: Mapping[str, int] | None = None) -> Iterator[list[Side]]:
    """All sides of a contest; to be timed, with rows a batch by `sizes`, they are warm."""
    with ExitStack() as stack:
        sides = []
        for name in contest.sides:
            python = interpreter(name, timed=sizes is not None)
            if python is None:
                raise SystemExit(
                    f"There is no environment for {name} under {PEERS.name}: make it with `make benchmark`."
                )
            side = Side(name, contest, python)
            stack.callback(side.end)
            if sizes is not None:
                side.batch = sizes.get(name, 8)
                side.visit()
            sides.append(side)
        yield sides


def answered(sides: Sequence[Side], result: Result) -> None:
    """Keep what the sides give, the rivals one text at a time, and with which libraries."""
    result.answers = {side.name: side.ask("answers", 1)["found"] for side in sides}
    result.versions = {side.name: side.ask("versions")["found"] for side in sides}


def compete(contest: Contest, rounds: int) -> Result:
    """Best sizes by processor time, then a visit to every side in each round; half of them in new processes."""
    order = random.Random(0)
    result = Result({name: [] for name in contest.sides})
    for part in (rounds - rounds // 2, rounds // 2):
        with started(contest, result.sizes) as sides:
            for side in sides[1:]:
                if side.name not in result.sizes:
                    used = {size: side.visit(size).processor for size in SIZES}
                    side.batch = result.sizes[side.name] = min(SIZES, key=used.__getitem__)
            for _ in range(part):
                for side in order.sample(sides, len(sides)):
                    result.visits[side.name].append(side.visit())
            if not result.answers:
                answered(sides, result)
    return result


def row_of(contest: Contest, side: str, result: Result) -> str:
    """One line of the table: a rival at its best batch size, and how much faster we are."""
    mine, theirs = result.visits[contest.sides[0]], result.visits[side]
    speed = [contest.examples / statistics.median(v.clock for v in each) for each in (mine, theirs)]
    clock, processor = (ratio([v[i] for v in theirs], [v[i] for v in mine]) for i in (0, 1))
    return (
        f"| {contest.title} | {side}, {result.sizes[side]} | {speed[0]:.1f} | {speed[1]:.1f} | {clock} | {processor} |"
    )


def sentences() -> list[str]:
    """Sentences of the shipped news, in their order."""
    news = " ".join(row["text"] for row in islice(write("summaries/test"), 400))
    return [f"{part.strip()}." for part in news.split(".") if part.strip()]


def skewed_texts(count: int) -> list[str]:
    """Texts of one to many sentences: how many is drawn from a log-normal distribution, as lengths of posts are."""
    rng, pool = np.random.default_rng(0), sentences()
    numbers = np.maximum(1, np.rint(rng.lognormal(0.0, 0.8, count))).astype(int)
    starts = rng.integers(0, len(pool) - 40, count)
    return [" ".join(pool[start : start + min(number, 40)]) for start, number in zip(starts, numbers, strict=True)]


def even_texts(count: int) -> list[str]:
    """Short sentences of nearly one length."""
    return [row["premise"] for row in islice(write("facts/test"), count)]


def classifier(folder: Path) -> Path:
    """A BERT of MiniLM's shape with random weights and the tokenizer of zoo://bert."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model_folder("bert"), local_files_only=True)
    tokenizer.model_max_length = LENGTH
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        id2label={0: "no", 1: "yes"},
        label2id={"no": 0, "yes": 1},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def placed(path: Path, texts: Sequence[str]) -> Path:
    """The texts as the sides read them, with labels by turns."""
    body = {"texts": list(texts), "labels": [("no", "yes")[i % 2] for i in range(len(texts))]}
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def spread(model: Path, data: Path) -> str:
    """Median and 95th percentile of the texts' tokens, and their ratio."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    found = tokenizer(json.loads(data.read_text(encoding="utf-8"))["texts"], truncation=True, max_length=LENGTH)
    middle, high = np.percentile([len(ids) for ids in found["input_ids"]], [50, 95])
    return f"{middle:.0f} and {high:.0f} tokens, p95/p50 {high / middle:.2f}"


def same_logits(given: Mapping[str, Any]) -> str:
    """The largest difference of logits from the pipeline's; whether the evaluator's accuracy is ours."""
    mine, theirs = (np.array(given[name]["logits"]) for name in ("paredown", "pipeline"))
    accuracy = given["paredown"]["accuracy"] == given["evaluator"]["accuracy"]
    return (
        f"largest difference of a logit from the pipeline's at batch 1: {np.abs(mine - theirs).max():.1e} (aim 1e-4); "
        f"accuracy {'equal to' if accuracy else 'other than'} the evaluator's"
    )


def same_texts(given: Mapping[str, Any]) -> str:
    """How many texts are identical to the rival's, and all others."""
    mine, theirs = (found["texts"] for found in given.values())
    other = [(i, a, b) for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
    lines = [f"{len(mine) - len(other)} of {len(mine)} texts identical to the pipeline's at batch 1 (aim 99.5%)"]
    lines += [f"  - text {i}: ours {a!r}, theirs {b!r}" for i, a, b in other]
    return "\n".join(lines)


def compared(contest: Contest, result: Result) -> str:
    """One line of what the sides gave."""
    same = same_logits if "paredown" in contest.sides else same_texts
    return f"- {contest.title}: {same(result.answers)}"


def contests(folder: Path) -> Iterator[Contest]:
    model = classifier(folder / "model")
    sides = ("paredown", "pipeline", "evaluator")
    for title, texts in (("lengths far apart", skewed_texts(128)), ("short and even", even_texts(256))):
        data = placed(folder / f"{title.split()[0]}.json", texts)
        yield Contest(f"MiniLM-L6 shape, {title}: {spread(model, data)}", sides, model, data, len(texts))
    news = [row["text"] for row in islice(write("summaries/test"), 200)]
    begun = [row["text"] for row in islice(write("stories/test"), 200)]
    for title, pair, name, texts in (
        ("zoo://summaries-bart, 4 beams", ("paredown_summaries", "summarizer"), "summaries-bart", news),
        ("zoo://stories-mistral, greedy", ("paredown_texts", "writer"), "stories-mistral", begun),
    ):
        data = placed(folder / f"{name}.json", texts)
        found = spread(model_folder(name), data)
        yield Contest(f"{title}, texts of {found}", pair, model_folder(name), data, len(texts))


def commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def in_rounds(rounds: int, folder: Path, libraries: dict[str, dict[str, str]]) -> list[str]:
    """Print a line a contest and rival as they come. Returns what the sides gave, compared."""
    print("| model and texts | rival, rows a batch | ours, a second | rival's | ratio by the clock | processor time |")
    print("|---|---|---|---|---|---|", flush=True)
    notes = []
    for contest in contests(folder):
        result = compete(contest, rounds)
        print("\n".join(row_of(contest, side, result) for side in contest.sides[1:]), flush=True)
        notes.append(compared(contest, result))
        libraries |= result.versions
    return notes


def outputs_alone(folder: Path, libraries: dict[str, dict[str, str]], only: str) -> None:
    """Print what the sides of every contest gave, compared; nothing is timed."""
    for contest in (each for each in contests(folder) if only in each.title):
        absent = [name for name in contest.sides if interpreter(name, timed=False) is None]
        if absent:
            print(f"- {contest.title}: not compared, for there is no environment for {', '.join(absent)}")
            continue
        result = Result({})
        with started(contest) as sides:
            answered(sides, result)
        print(compared(contest, result), flush=True)
        libraries |= result.versions


def main() -> None:
    """Print the tables as they come."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("rounds", nargs="?", type=int, default=10)
    parser.add_argument("--outputs", action="store_true", help="time nothing, compare what the sides give")
    parser.add_argument("--only", default="", help="with --outputs: of contests whose title holds this")
    asked = parser.parse_args()
    done = "outputs alone" if asked.outputs else f"{asked.rounds} interleaved rounds"
    load = os.getloadavg()[0]
    said = f"load {load:.1f} at the start{'' if load < QUIET else ', so others were at work'}"
    place = f"{cpu_name()}, 1 thread, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}. {place}; {done}; {said}.\n")
    libraries: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.outputs:
            outputs_alone(folder, libraries, asked.only)
        else:
            print("", *in_rounds(asked.rounds, folder, libraries), sep="\n")
    print()
    for side, packages in libraries.items():
        print(f"- {side}: {', '.join(f'{name} {number}' for name, number in packages.items())}")
    print(f"- load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
