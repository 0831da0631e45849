"""The YAML of a sweep: what may stand in it, overrides from the command line, and sentences about what is wrong."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench.data import ZOO, DataSpec
from bench.device import is_device
from bench.errors import BadInput, quoted, unknown
from bench.settings import Settings, what_is_at

SHIPPED = Path(__file__).parent / "sweeps"
# steady: bursts, the first call of each kept apart. on_device: single calls on one core, in caches that others used.
LatencyProtocol = Literal["steady", "on_device"]
PATHS = ("model", "source", "id")  # keys whose value may be the path of a file or folder
# Far beyond what anybody measures, and what a slip of the hand writes.
MOST_ROWS, MOST_TOKENS, MOST_ROUNDS = 65_536, 2**24, 100_000
FEWEST_ROUNDS = 20


def each_once(key: str, values: list[int]) -> list[int]:
    """The values of a list in which none stands twice. Raises ValueError: a shape would be timed as two in one."""
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f"{key} names {twice} {values.count(twice)} times: name it once")
    return values


class BaseSection(Settings):
    """A base model: where it is and, if it needs some, the steps that make it ready before anything is compared."""

    model: str = Field(description="hub id (ORG/NAME@REVISION), a local folder, or zoo://NAME")
    prepare: list[Any] = Field(default_factory=list, description="steps applied first; their result is the base")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the prepare steps")
    licence: str | None = None


class LatencySection(Settings):
    """How latency is measured; see `bench.measure.latency`."""

    batch: list[Annotated[int, Field(ge=1, le=MOST_ROWS, strict=True)]] = Field(default=[1], min_length=1)
    length: list[Annotated[int, Field(ge=8, le=MOST_TOKENS, strict=True)]] = Field(
        default=[32], min_length=1, description="tokens"
    )
    first_rounds: int = Field(default=40, ge=FEWEST_ROUNDS, le=MOST_ROUNDS, description="rounds before the first look")
    max_rounds: int = Field(
        default=320, ge=FEWEST_ROUNDS, le=MOST_ROUNDS, description="rounds after which a lease ends whatever the width"
    )
    half_width: float = Field(
        default=0.02, gt=0, lt=1, description="relative half-width of the ratio at which a lease ends"
    )
    burst_ms: float = Field(default=50.0, gt=0, le=60_000, description="shortest time of one visit to a model")
    leases: int = Field(default=2, ge=0, le=3, description="independent repetitions, each in a new process; 0: none")
    threads: int = Field(default=1, ge=1, le=4096)
    new_tokens: int | None = Field(
        default=None, ge=8, le=4096, description="tokens that a model writes at each shape; null: forward passes"
    )
    protocol: LatencyProtocol = Field(
        default="steady", description="steady: bursts of calls; on_device: single calls on one core, batch 1"
    )

    @field_validator("batch", "length")
    @classmethod
    def _named_once(cls, value: list[int], about: ValidationInfo) -> list[int]:
        return each_once(f"latency.{about.field_name}", value)

    @model_validator(mode="after")
    def _one_thread_on_device(self) -> Self:
        if self.protocol == "on_device" and (self.batch != [1] or self.threads != 1):
            raise ValueError(
                f"latency.protocol on_device times single inputs on one core, but batch is {self.batch} and threads is "
                f"{self.threads}: set batch to [1] and threads to 1, or protocol to steady"
            )
        return self


class MemorySection(Settings):
    """How memory is measured; see `bench.measure.memory`."""

    repeats: int = Field(default=3, ge=0, le=20, description="fresh processes per model; 0: not measured")


class LimitsSection(Settings):
    """What one job may use before it is ended and recorded as failed."""

    seconds: float = Field(default=3600, ge=1, description="wall time of one job; loading a model takes longer than 1")
    memory_gb: float | None = Field(default=None, gt=0, description="private memory of one job, in GB = 10^9 bytes")
    attempts: int = Field(default=3, ge=1, le=100, description="attempts at a job whose failure may pass")


class RaceSection(Settings):
    """Whether work ends early for variants that another one has beaten already; see `cluster.racing`."""

    on: bool = Field(default=True, description="stop variants that are beaten; `--race` and `--no-race` override it")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="chance of stopping any variant wrongly")
    pinned: list[str] = Field(default_factory=list, description="names of variants that never stop")


class TaskSection(Settings):
    """A task: its kind and data; further settings belong to the kind."""

    model_config = ConfigDict(extra="allow")

    kind: str = "classification"
    data: str = Field(description="name of a data set of this file")


class SweepFile(Settings):
    """The whole file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    description: str = ""
    bases: dict[str, BaseSection] = Field(min_length=1)
    teachers: dict[str, BaseSection] = Field(default_factory=dict, description="models to learn from; not on the board")
    data: dict[str, DataSpec] = Field(default_factory=dict)
    tasks: dict[str, TaskSection] = Field(min_length=1)
    holdout: float = Field(
        default=1 / 3, ge=0, lt=1, description="share of each task's examples kept for `paredown confirm`; 0: none"
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**32, strict=True)]] = Field(default=[0], min_length=1)
    recipes: list[list[Any]] = Field(default_factory=list)
    objectives: list[str] = Field(default=["quality", "latency"], min_length=1, max_length=3)
    quality: str | None = Field(default=None, description="TASK.METRIC, or recovery")
    matters: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]] = Field(
        default_factory=dict, description="smallest difference that matters, by objective, in the metric's unit"
    )
    constraints: list[str] = Field(
        default_factory=list, description="what a variant must keep: METRIC[:SCOPE] <= NUMBER, or >="
    )
    latency: LatencySection = LatencySection()
    memory: MemorySection = MemorySection()
    limits: LimitsSection = LimitsSection()
    race: RaceSection = RaceSection()
    device: str = Field(default="cpu", description="where models are evaluated and measured: cpu, cuda or cuda:N")
    runner: Literal["auto", "local", "ray"] = "auto"

    @field_validator("seeds")
    @classmethod
    def _seeds_named_once(cls, value: list[int]) -> list[int]:
        return each_once("seeds", value)

    @field_validator("device")
    @classmethod
    def _device_named(cls, value: str) -> str:
        if not is_device(value):
            raise ValueError(
                f"device is {value!r}, but a device is cpu, cuda or cuda:N such as cuda:1: name one of them"
            )
        return value

    @model_validator(mode="after")
    def _on_device_is_a_cpu(self) -> Self:
        if self.latency.protocol == "on_device" and self.device != "cpu":
            raise ValueError(
                f"latency.protocol on_device times one core, but device is {self.device!r}: set device to cpu, or "
                "protocol to steady"
            )
        return self


def find_sweep(asked: str) -> Path:
    """The file that `asked` names: a path, or the name of a sweep that ships. Raises BadInput."""
    path = Path(asked)
    if what_is_at(path) == "file":
        return path
    shipped = {p.stem: p for p in sorted(SHIPPED.glob("*.yaml"))}
    if asked in shipped:
        return shipped[asked]
    if path.suffix in (".yaml", ".yml") or "/" in asked:
        raise BadInput(f"The sweep file {quoted(asked)} does not exist: give a file, or one of {', '.join(shipped)}.")
    raise unknown("sweep file or shipped sweep", asked, shipped)


def read_sweep(path: Path, overrides: Sequence[str] = ()) -> SweepFile:
    """Parse and validate a sweep file with `key=value` overrides. Raises BadInput with one sentence."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"The sweep file {str(path)!r} cannot be read ({error.strerror}): give one that can.") from error
    values = _parse(text, str(path))
    if not isinstance(values, dict):
        raise BadInput(
            f"The sweep {path} holds {_kind(values)}, not a mapping of keys such as name, bases, tasks, recipes."
        )
    _anchor(values, path.parent)
    for override in overrides:
        _override(values, override)
    try:
        return SweepFile.model_validate(values)
    except ValidationError as error:
        raise BadInput(sentence(error, f"sweep {path.name}", SweepFile)) from error


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice: the second would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.constructor.ConstructorError as error:
        raise BadInput(
            f"{where} uses a YAML tag that is not allowed ({error.problem}): use plain values only."
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise BadInput(f"{where} is not valid YAML{line}: {problem}. Mend that line and try again.") from error
    except (ValueError, RecursionError) as error:  # a date that is none; nesting without end
        raise BadInput(f"{where} is not valid YAML: {error}. Mend it and try again.") from error


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__


def _local(text: Any, folder: Path) -> Any:
    """A path relative to `folder` where such a file or folder exists, else the text as it is."""
    if not isinstance(text, str) or text.startswith(ZOO) or Path(text).is_absolute():
        return text
    return text if what_is_at(folder / text) == "nothing" else str((folder / text).resolve())


def _anchor(values: dict[str, Any], folder: Path) -> None:
    """Paths in the file are relative to the file."""
    for group, key in (("bases", "model"), ("teachers", "model"), ("data", "source")):
        section = values.get(group)
        for entry in section.values() if isinstance(section, dict) else ():
            if isinstance(entry, dict) and key in entry:
                entry[key] = _local(entry[key], folder)
    _anchor_checkpoints(values, folder)


def _anchor_checkpoints(value: Any, folder: Path) -> None:
    """The same for `checkpoint: {id: FOLDER}`, wherever it stands in the recipes."""
    if isinstance(value, dict):
        step = value.get("checkpoint")
        if isinstance(step, dict) and "id" in step:
            found = step["id"]
            step["id"] = [_local(f, folder) for f in found] if isinstance(found, list) else _local(found, folder)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _anchor_checkpoints(inner, folder)


def _override(values: dict[str, Any], text: str) -> None:
    """Set one dotted key; list items are addressed by number. Paths are relative to the working directory."""
    key, equals, written = text.partition("=")
    if not equals or not key:
        raise BadInput(f"The override {text!r} is not of the form key=value, such as latency.max_rounds=40.")
    value = _parse(written, f"The override {text!r}")
    here: Any = values
    parts = key.split(".")
    if parts[-1] in PATHS:
        value = _local(value, Path.cwd())
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, list):
            if not part.isdigit() or int(part) >= len(here):
                held = f"items 0 to {len(here) - 1}" if here else "no items"
                raise BadInput(f"The override {text!r} asks for item {part!r} of a list with {held}.")
            index: Any = int(part)
        elif isinstance(here, dict):
            index = part
            if not last and here.get(part) is None:
                here[part] = {}
        else:
            raise BadInput(f"The override {text!r} goes below {'.'.join(parts[:depth])!r}, which is a plain value.")
        if last:
            here[index] = value
        else:
            here = here[index]


def sentence(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """One sentence about the first problem that pydantic found, with near misses for an unknown key."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(p) for p in problem["loc"])
    more = f" ({len(error.errors()) - 1} more problems after it)" if len(error.errors()) > 1 else ""
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_model_at(model, problem["loc"][:-1]).model_fields)
        near = get_close_matches(str(problem["loc"][-1]), allowed, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"Unknown key {place!r} in the {where}.{hint} Allowed: {', '.join(allowed)}{more}."
    if problem["type"] == "missing":
        return f"The {where} lacks the key {place!r}: add it{more}."
    if problem["type"] == "value_error":
        return f"The {where} is wrong: {problem['msg'].removeprefix('Value error, ')}{more}."
    received = repr(problem["input"])
    received = received if len(received) <= 60 else received[:57] + "..."
    return f"{place!r} in the {where} is {received}, but: {problem['msg']}{more}."


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    """The model whose key was unknown, followed down from the top of the file."""
    current: Any = model
    for part in place:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[str(part)].annotation
        arguments = [a for a in getattr(current, "__args__", ()) if isinstance(a, type) and issubclass(a, BaseModel)]
        current = arguments[0] if arguments else current
    return current if isinstance(current, type) and issubclass(current, BaseModel) else model
