"""What can be wrong with a request, said in one sentence, and the kinds of failure that a job can have."""

import errno
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

QUOTED = 120  # characters of what was given that a sentence repeats at most
OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate", "alloc_failed")


class BadInput(Exception):  # noqa: N818 - the name says what it is
    """The request was wrong: what was asked, the value received, what is allowed, what to do next.

    The command prints the sentence and ends with exit code 2; inside a job it becomes `Failed(kind="bad spec")`.
    """


class Unavailable(BadInput):
    """A model cannot be had here: its hub cannot be reached, or its weights would have to be unpickled."""


class StoreBusy(BadInput):
    """The results folder is leased to another living driver."""


class Contaminated(Exception):  # noqa: N818
    """A measurement that something outside it has spoiled, in one sentence: what was seen, where the bound lies, what
    to do. Inside a job it becomes `Failed(kind="contaminated")`, which is tried again: it may pass by itself.
    """


class DoesNotFit(MemoryError):  # noqa: N818 - the name says what it is
    """A model that the memory of its device cannot hold, found before anything is loaded, in one sentence with what is
    needed and what can be had. Inside a job it becomes `Failed(kind="out of memory")`.
    """


class StaleLease(Exception):  # noqa: N818
    """A newer driver has taken the results folder over: this process may write nothing more."""


class ClusterLost(Exception):  # noqa: N818
    """The cluster that jobs ran on is gone, or this process no longer belongs to it."""


class DiskFull(Exception):  # noqa: N818
    """The disk under the results folder has no room for another record."""


class Unreachable(DiskFull):
    """The place of the store does not answer. Like a full disk it stops a sweep, of which nothing finished is lost."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room: Python's says it by number, DuckDB's only in words."""
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return True
    return any(os.strerror(number) in text_of(error) for number in (errno.ENOSPC, errno.EDQUOT))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not hold what was asked for; torch has a type for that on GPUs only."""
    if isinstance(error, MemoryError):
        return True
    text = text_of(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)


def text_of(error: BaseException) -> str:
    """What an error says, also where it cannot say it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a foreign exception may do anything
        return "(it has no text)"


def quoted(text: object) -> str:
    """What was given, in quotation marks: of a very long text the beginning, so that a sentence stays one."""
    whole = repr(str(text))
    return whole if len(whole) <= QUOTED else f"{whole[:QUOTED]}... ({len(str(text)):,} characters)"


def few(names: Sequence[str], most: int) -> str:
    """The first so many names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unknown(kind: str, name: object, known: Iterable[str]) -> BadInput:
    """The error for a name that is not in a table: nearest three first, then all."""
    names = sorted(known)
    near = get_close_matches(str(name)[:QUOTED], names, n=3)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return BadInput(f"There is no {kind} called {quoted(name)}.{hint} Known: {', '.join(names) or 'none'}.")
