"""Settings as people write them, in a sweep file or on the command line: what no number of theirs may be, and what
lies under a path of theirs."""

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Settings(BaseModel):
    """Unknown keys are refused, and so is what would pass for a number: infinity, "not a number", yes and no."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, about: ValidationInfo) -> Any:
        """`batch: [true]` would be a batch of 1."""
        name = str(about.field_name)
        written = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(each, bool) for each in written) and not _takes_truths(cls.model_fields[name].annotation):
            raise ValueError(f"{name} is {value}, and a yes or no is not what stands there: write the value itself")
        return value


def what_is_at(path: Path | str) -> Literal["file", "folder", "nothing"]:
    """What lies under a path that may be any text: one that the system refuses, as too long a name, leads nowhere."""
    try:
        return "folder" if Path(path).is_dir() else "file" if Path(path).is_file() else "nothing"
    except OSError:
        return "nothing"


def _takes_truths(annotation: Any) -> bool:
    """Whether true and false may stand somewhere in a value of that type."""
    return annotation in (bool, Any, object) or any(_takes_truths(inner) for inner in get_args(annotation))
