"""`paredown claims`: which claims are judged, how they are printed, and where the verdicts are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.claims.card import claims_of_card
from bench.claims.measured import Measured
from bench.claims.published import Claim, chosen, read_claims, shipped_claims
from bench.claims.run import Judged, judge
from bench.errors import BadInput
from bench.store.folder import is_store, open_folder, take_lease
from bench.store.journal import Entry
from bench.store.writer import Writer
from cluster.show import Printable

COLUMNS = ("model", "claim", "published", "verdict", "found", "why", "source")


def gather(files: Sequence[Path], cards: Sequence[Path], only: Sequence[str]) -> tuple[list[Claim], list[Claim]]:
    """(claims to judge, claims that they may refer to): of the given files and cards, or of the shipped models."""
    every = [claim for file in files for claim in read_claims(file)]
    every += [claim for card in cards for claim in claims_of_card(card)]
    every = every if files or cards else shipped_claims()
    return chosen(every, only), every


def judge_all(
    claims: Sequence[Claim], every: Sequence[Claim], store: Path | None, rounds: int, err: Console
) -> list[Judged]:
    """Judge the claims, saying on `err` which one is being judged. Numbers of `store`, if any, are compared."""
    measured = Measured.of(store) if store is not None else None
    with err.status("judging") as status:
        return list(
            judge(
                claims,
                every,
                measured=measured,
                rounds=rounds,
                watch=lambda claim: status.update(f"{claim.model}: {claim.text}"),
            )
        )


def table(found: Sequence[Judged]) -> Printable:
    """The verdicts, claim by claim."""
    rows = []
    for judged in found:
        row = judged.row()
        cells = (row["text"], row["published"], row["verdict"], row["found"], row["reason"], row["source"])
        rows.append((row["model"], *cells))
    count = Counter(judged.finding.verdict for judged in found)
    note = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
    return Printable(
        "Published numbers", COLUMNS, tuple(rows), [j.row() for j in found], (f"{len(found)} claims: {note}.",)
    )


def keep(found: Sequence[Judged], store: Path) -> None:
    """Write the verdicts into a store, for the board. Raises BadInput for a store that is not there or in use."""
    lease = take_lease(open_folder(store))
    try:
        writer = Writer(lease.folder, lease.epoch)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        rows = [judged.row() for judged in found]
        writer.append([Entry.statement("claims", f"claims {now}", {"declared": now, "rows": rows})])
        writer.close()
    finally:
        lease.release()


def store_for(asked: Path | None, default: Path) -> Path | None:
    """The store to compare with and to write into: the one asked for, else the usual one where it is there."""
    if asked is not None:
        if not is_store(asked):
            raise BadInput(f"The store {asked} does not exist: run a sweep with --store {asked} first.")
        return asked
    return default if is_store(default) else None
