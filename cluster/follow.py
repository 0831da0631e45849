"""A run as the terminal sees it: which runner, how far it is, and what is said when it ends early."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import typer
from rich.console import Console

from bench.errors import BadInput, ClusterLost, DiskFull, StaleLease, Unreachable, few

if TYPE_CHECKING:
    from bench.record import Record
    from cluster.drive import Watch
    from cluster.estimates import Estimates
    from cluster.plan import Plan

    Start = Callable[[Watch, Callable[[Plan, Estimates], None]], Iterator[Record]]

SOME_FAILED, WRONG_REQUEST, NOTHING, INTERRUPTED = 1, 2, 3, 130  # exit codes
MOST_NAMED = 6  # of what shares a reason
RunnerName = Literal["local", "ray"]


def follow(start: Start, workers: int | None, err: Console) -> Plan:
    """Run to the end and show how far it is. Returns the plan as it is then.

    Raises typer.Exit where it ends early, after a sentence on `err`.
    """
    from bench.measure.conditions import cpu_quota
    from cluster.progress import Progress
    from cluster.runner_local import workers_for
    from cluster.session import Tally

    tally = Tally()
    with Progress(err, slots=workers_for(cpu_quota(), workers)) as progress:
        try:
            for record in start(progress.watch, progress.started):
                tally.add(record)
        except DiskFull as error:
            first = "" if isinstance(error, Unreachable) else "free some space and "
            say(err, "Stopped", f"{error}: {first}run the same command again; nothing finished is lost.")
            raise typer.Exit(SOME_FAILED if tally.finished else NOTHING) from None
        except ClusterLost as error:
            say(err, "Stopped", f"{error}: start it again and run the same command again; nothing finished is lost.")
            raise typer.Exit(SOME_FAILED if tally.finished else NOTHING) from None
        except StaleLease as error:
            say(err, "Stopped", f"{error}.")
            raise typer.Exit(SOME_FAILED) from None
        except KeyboardInterrupt:
            err.print("Interrupted. What was finished is kept; run the same command again to go on.")
            raise typer.Exit(INTERRUPTED) from None
    return progress.plan


def say_gone(err: Console, gone: Mapping[str, str]) -> None:
    """Name what was built, is gone from the store and could not be built again: one line for each reason."""
    for reason in dict.fromkeys(gone.values()):
        names = [name for name, why in gone.items() if why == reason]
        say(err, "Not rebuilt", f"{few(names, MOST_NAMED)}: gone from the store. {reason}")
    if gone:
        say(err, "", "Numbers that are known stay on the board. `paredown retry` lets the next run build it again.")


def runner_for(asked: str, address: str | None) -> RunnerName:
    """The runner that is asked for; Ray where that is left open and it is installed. Raises BadInput."""
    from importlib.util import find_spec

    if asked == "local":
        if address is not None:
            raise BadInput(f"--address {address} needs the Ray runner: leave out --runner local.")
        return "local"
    if find_spec("ray") is None:
        if asked == "ray" or address is not None:
            raise BadInput(
                "The Ray runner needs Ray, which is not installed: pip install 'paredown[cluster]', or --runner local."
            )
        return "local"
    return "ray"


def say(err: Console, word: str, text: str) -> None:
    """One line on the error stream, after a word in red; nothing in the text is markup."""
    from rich.text import Text

    start = [(f"{word}: ", "bold red")] if word else []
    err.print(Text.assemble(*start, " ".join(text.split())), soft_wrap=True)
