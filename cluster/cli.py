"""The `paredown` command: the only place where the three packages meet."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.errors import BadInput
from cluster.cli_board import board
from cluster.cli_doctor import doctor
from cluster.cli_show import show, status
from cluster.export import export
from cluster.follow import NOTHING, SOME_FAILED, WRONG_REQUEST, say, say_gone
from cluster.options import (
    STORE,
    AddressOption,
    FormatOption,
    HardwareOption,
    JsonOption,
    Overrides,
    RunnerOption,
    StoreOption,
    SweepArgument,
    TakeOverOption,
    WorkersOption,
    err,
    most_rows,
    out,
)
from cluster.report import report
from cluster.review import review
from cluster.store import app as store_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which compressed variant of our model should we deploy, and how sure are we?",
)


@app.command()
def plan(
    sweep: SweepArgument,
    overrides: Overrides = None,
    store: StoreOption = STORE,
    address: AddressOption = None,
    hardware: HardwareOption = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Show what a sweep would run, here or on a cluster, what is known already, how long it may take. Runs nothing."""
    from bench.measure.conditions import cpu_quota
    from bench.processor import prepare
    from bench.sweep import load_sweep
    from cluster.known import known_without_writing
    from cluster.plan import Planner
    from cluster.runner_local import workers_for
    from cluster.session import estimates, machine_here, machine_of_cluster
    from cluster.show import plan_table, print_table

    loaded = load_sweep(sweep, overrides or [])
    prepare()
    if address is not None:
        machine, slots = machine_of_cluster(loaded, address, hardware)
    elif hardware is not None:
        raise BadInput(f"--hardware is {hardware!r}, but without --address this machine is planned for: give both.")
    else:
        machine, slots = machine_here(loaded.file), workers_for(cpu_quota())
    planner = Planner(loaded, machine)
    known = known_without_writing(store)
    found = planner(known, frozenset())
    print_table(
        plan_table(loaded, found, estimates(known, machine.hardware_class), slots), "json" if as_json else form, out
    )


@app.command()
def run(
    sweep: SweepArgument,
    overrides: Overrides = None,
    store: StoreOption = STORE,
    runner: RunnerOption = "auto",
    address: AddressOption = None,
    workers: WorkersOption = None,
    take_over: TakeOverOption = False,
    hardware: HardwareOption = None,
    race: Annotated[
        bool | None, typer.Option("--race/--no-race", help="Stop variants that are beaten, or complete every one.")
    ] = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Run a sweep, or go on with it: nothing that is finished is repeated."""
    from bench.sweep import load_sweep
    from cluster.follow import follow, runner_for
    from cluster.session import Options, run_sweep

    racing = [] if race is None else [f"race.on={str(race).lower()}"]
    loaded = load_sweep(sweep, [*(overrides or []), *racing])
    chosen = runner_for(loaded.file.runner if runner == "auto" else runner, address)
    if hardware is not None and chosen == "local":
        raise BadInput(f"--hardware is {hardware!r}, but the local runner measures on this machine: leave it out.")
    options = Options(store, chosen, address, workers, take_over, hardware)
    boards: list[str] = []
    ended = follow(partial(run_sweep, loaded, options, declared=boards.append), workers, err)
    raise typer.Exit(_conclude(store, boards[0], "json" if as_json else form, ended.gone))


def _conclude(store: Path, sweep_id: str, form: str, gone: Mapping[str, str]) -> int:
    """Print the frontier and say where everything is, and what is gone. Returns the exit code."""
    from bench.store.folder import bucket_url
    from cluster.show import print_table
    from cluster.shown import board_table
    from leaderboard.choices import unfinished
    from leaderboard.fronts import whole_of
    from leaderboard.index import open_indexed
    from leaderboard.large import board_in

    with open_indexed(store, partial(say, err, "")) as snapshot:
        board = board_in(snapshot, sweep_id)
        print_table(board_table(board, most_rows(form), whole_of(snapshot, board)), form, out)
        failed = list(unfinished(board))
        for row in failed:
            say(err, "No number", f"{row.name}: {row.reason or row.verdict_reason}")
    say_gone(err, gone)
    where = bucket_url(store) or store
    say(err, "", f"The store is {where}; `make board` (or `paredown board --store {where}`) opens the leaderboard.")
    if len(failed) == len(board.rows):
        return NOTHING
    return SOME_FAILED if failed or gone else 0


@app.command()
def settle(
    sweep: Annotated[
        str | None, typer.Argument(metavar="[SWEEP]", help="Name of a sweep in the store; the newest without it.")
    ] = None,
    budget: Annotated[str, typer.Option(help="How long to measure at most, as 90s, 30m or 2h.")] = "30m",
    store: StoreOption = STORE,
    runner: RunnerOption = "auto",
    address: AddressOption = None,
    workers: WorkersOption = None,
    take_over: TakeOverOption = False,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Measure more where the frontier is contested, and say what would decide the rest."""
    from cluster.follow import runner_for
    from cluster.session import Options
    from cluster.settle import budget_seconds
    from cluster.settled import left_to_runs, settle_within, settled_table
    from cluster.show import print_table

    seconds = budget_seconds(budget)
    options = Options(store, runner_for(runner, address), address, workers, take_over)
    before, after = settle_within(seconds, sweep, options, err)
    print_table(settled_table(before, after, left_to_runs(sweep, options)), "json" if as_json else form, out)


@app.command()
def confirm(
    sweep: Annotated[
        str | None, typer.Argument(metavar="[SWEEP]", help="Name of a sweep in the store; the newest without it.")
    ] = None,
    variants: Annotated[
        list[str] | None, typer.Argument(metavar="[VARIANT ...]", help="By name; without any, all not dominated.")
    ] = None,
    store: StoreOption = STORE,
    level: Annotated[float, typer.Option(help="At which all intervals of a kind hold at once.")] = 0.95,
    runner: RunnerOption = "auto",
    address: AddressOption = None,
    workers: WorkersOption = None,
    take_over: TakeOverOption = False,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Re-estimate a shortlist on examples that were held back from choosing; that they are opened is recorded."""
    from bench.store.reader import open_snapshot
    from cluster.confirm import ask
    from cluster.confirmed import confirmed_table, without_numbers
    from cluster.follow import follow, runner_for
    from cluster.session import Options, run_confirmation
    from cluster.show import print_table
    from leaderboard.rows import find_sweep

    with open_snapshot(store) as snapshot:
        asked = ask(snapshot, find_sweep(snapshot, sweep), variants or (), level)
        done = asked.stated and not without_numbers(snapshot, asked.opening)
    if not done:
        for warning in asked.warnings():
            say(err, "Warning", warning)
        chosen = runner_for(asked.runner if runner == "auto" else runner, address)
        options = Options(store, chosen, address, workers, take_over)
        follow(partial(run_confirmation, asked, options), workers, err)
    with open_snapshot(store) as snapshot:
        print_table(confirmed_table(snapshot, asked.opening), "json" if as_json else form, out)
        missing = without_numbers(snapshot, asked.opening)
    if len(missing) == len(asked.opening.variants):
        raise typer.Exit(NOTHING)
    raise typer.Exit(SOME_FAILED if missing else 0)


app.command()(show)
app.command()(status)


@app.command()
def claims(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE ...]", help="Claims about your own model, instead of ours.")
    ] = None,
    card: Annotated[list[Path] | None, typer.Option(help="A model card whose model-index is checked.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Claims of a model, or whose id begins so.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Compare with the numbers of this store, and keep the verdicts.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Look at no store: only what needs no weights.")] = False,
    rounds: Annotated[int, typer.Option(min=6, max=320, help="Rounds of each timing.")] = 20,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Check published numbers: what follows from the architecture alone, and what a store has measured."""
    from bench.processor import prepare
    from cluster.claims import gather, judge_all, keep, store_for, table
    from cluster.show import print_table

    wanted, every = gather(files or (), card or (), only or ())
    where = None if offline else store_for(store, STORE)
    prepare()
    found = judge_all(wanted, every, where, rounds, err)
    print_table(table(found), "json" if as_json else form, out)
    if where is not None:
        keep(found, where)


@app.command()
def why(
    variant: Annotated[str, typer.Argument(help="Its name, a part that no other has, or the start of its ids.")],
    metric: Annotated[str, typer.Argument(help="A metric, as accuracy or accuracy:SCOPE.")],
    scope: Annotated[str | None, typer.Option(help="Task or shape, where the metric has several.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Name of a sweep; the newest without it.")] = None,
    store: StoreOption = STORE,
    raw: Annotated[bool, typer.Option("--raw", help="Print only the raw material, all of it, as CSV or JSON.")] = False,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Show what stands behind a number: raw samples, conditions, artefact, records, and how to have it again."""
    from bench.store.asked import understand
    from bench.store.reader import open_snapshot
    from bench.store.why import explain
    from cluster.why import print_raw, print_why
    from leaderboard.rows import find_sweep

    form = "json" if as_json else form
    if form == "csv" and not raw:
        raise BadInput("--format csv is for --raw, which is one table: choose table, md or json, or add --raw.")
    with open_snapshot(store) as snapshot, err.status("reading the journal"):
        asked = understand(snapshot, find_sweep(snapshot, sweep), variant, metric, scope)
        found = explain(snapshot, asked, everything=raw)
    (print_raw if raw and not found.missing else print_why)(found, form, out)
    raise typer.Exit(SOME_FAILED if found.missing else 0)


@app.command()
def verify(
    store: StoreOption = STORE,
    sweep: Annotated[str | None, typer.Option(help="Recompute the numbers of this sweep only.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every artefact, load it and count again.")] = False,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Recompute every number of a store from its raw material, and name what differs. Writes nothing."""
    from bench.store.reader import open_snapshot
    from bench.store.verify import verify as verified
    from cluster.verify import print_verified
    from leaderboard.rows import find_sweep

    with open_snapshot(store) as snapshot, err.status("") as status:
        chosen = snapshot.sweeps() if sweep is None else [find_sweep(snapshot, sweep)]
        found = verified(snapshot, chosen, deep=deep, tell=status.update)
    print_verified(found, "json" if as_json else form, out)
    raise typer.Exit(SOME_FAILED if found.differences else 0)


@app.command()
def retry(
    store: StoreOption = STORE,
    where: Annotated[str | None, typer.Option(help="Only failures of this kind, such as 'bug'.")] = None,
) -> None:
    """Let failed jobs be tried again by the next run."""
    from cluster.known import forget_failures

    count = forget_failures(store, where)
    out.print(f"{count} failed job{'s' * (count != 1)} will be tried again by the next `paredown run`.")


@app.command("ls")
def list_known(
    what: Annotated[Literal["methods", "tasks", "metrics", "sweeps", "models"], typer.Argument(help="What to list.")],
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """List what a sweep can name."""
    from cluster.show import known_table, print_table

    print_table(known_table(what), "json" if as_json else form, out)


app.command()(board)
app.command()(doctor)
app.add_typer(store_app, name="store")
app.command()(report)
app.command()(review)
app.command()(export)


def main() -> None:
    """Entry point: a wrong request is one sentence and exit code 2, never a traceback."""
    try:
        app()
    except BadInput as error:
        say(err, "Error", str(error))
        sys.exit(WRONG_REQUEST)


if __name__ == "__main__":
    main()
