"""What a review says, as sentences and rows of text for the page, the terminal and the files. Draws nothing."""

from __future__ import annotations

from collections.abc import Sequence

from bench.store.reviews import Comment, Decision, Event, History, Opened, Person, Reopened, Withdrawn
from leaderboard.format import SIGNS, interval, number
from leaderboard.held_back import standing
from leaderboard.judged import judged_axis
from leaderboard.licences import is_silent, licences_text
from leaderboard.review.case import Case, licences_of
from leaderboard.review.large import MOST_CANDIDATES
from leaderboard.review.shortlist import Candidate, Shortlist
from leaderboard.rows import Axis, Key, Row
from leaderboard.table import full_name, label, notes
from leaderboard.wording import against_base

Line = tuple[str, ...]
SIGNED = (
    "Signed means two things. Who: the identity that the identity provider vouched for when the person signed in "
    "(subject and issuer are in the event). What: the SHA-256 of the data that were on their screen. Each event also "
    "holds the SHA-256 of the one before. It is no cryptographic signature of the person: whoever may write into the "
    "store could write a whole new history, so keep the hash of the last event with the decision."
)
SIGNED_LOCALLY = (
    "This page signs locally: whoever can open it on this machine can write under any name. Events say "
    "“local, identity not verified”."
)
METHOD = (
    "Score: the augmented weighted Chebyshev distance from the best of each number (Steuer and Choo 1983); 0 is best. "
    "Losses run from 0, the best of the shortlist, to 1, the worst: a new variant at an end moves the scale."
)
SHARES = (
    "In resamples: how often it comes first when examples and rounds are drawn again, with these weights. In all "
    "weightings: how often it comes first when weights are drawn evenly. Both are shares, not probabilities."
)
EVIDENCE = ("number", "value (95% interval)", "against the base", "loss")
BESIDE = ("held-back examples", "licences", "open points")
LICENCES = ("part", "name", "licence", "said by")
SENSITIVITY = ("weight of", "from", "to", "choice", "as stated")
HISTORY = ("event", "when", "who", "what", "data seen", "SHA-256 of the event")
TIED = 1e-9  # scores that differ by less are the same
VERBS = {"opened": "opened", "comment": "commented", "approve": "approved", "reject": "rejected"}
VERBS |= {"withdrawn": "withdrew their decision", "reopened": "reopened the review"}
STATES = {
    "open": "Open: nobody has decided yet.",
    "approved": "Approved.",
    "rejected": "Rejected.",
    "disputed": "Disputed: the decisions that count do not say the same.",
}


def constraints_sentence(found: Shortlist) -> str:
    """Who of how many keeps the constraints, and who is beaten."""
    counts, board = found.counts, found.board
    texts = ", ".join(required.text for required in board.constraints)
    said = f"{counts['all']:,} variants of {found.question.base}, the base among them."
    if texts:
        kept = counts["all"] - counts["not met"] - counts["open"]
        said += f" {kept:,} are known to keep {texts}; {counts['not met']:,} do not"
        said += f", for {counts['open']:,} it is open." if counts["open"] else "."
    if counts["unknown"]:
        said += f" {counts['unknown']:,} lack{'s' * (counts['unknown'] == 1)} a number that is weighed."
    if counts["beaten"]:
        said += (
            f" {counts['beaten']:,} are dominated by one that keeps them."
            if texts
            else (f" {counts['beaten']:,} are dominated.")
        )
    if counts["unscored"]:
        said += f" {counts['unscored']:,} more are not dominated and not listed: their scores are worse than the best"
        said += f" {MOST_CANDIDATES:,}."
    return said


def choice_sentence(found: Shortlist) -> str:
    """Who comes first with these weights, and how far that holds; the advice where nobody does."""
    choice = found.choice
    if choice is None:
        return found.advice or "Everyone who keeps the constraints is beaten by another."
    if len(found.candidates) == 1:
        return f"{choice.row.name} is the only one on the shortlist."
    tied = [each.row.name for each in found.candidates if each.score - choice.score < TIED]
    if len(tied) > 1:
        return f"With these weights {' and '.join(tied)} have the same score: weigh one number more to tell them apart."
    return (
        f"First with these weights: {choice.row.name}, in {percent(choice.resampled)} of resamples, and in "
        f"{percent(choice.anyhow)} of all weightings."
    )


def percent(share: float) -> str:
    """A share; never rounded to all or nothing."""
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{100 * share:.0f}%"


def shortlist_head(found: Shortlist) -> Line:
    """Headings of the shortlist."""
    axes = found.board.axes
    names = (f"{full_name(axes[key])}, weighs {weight:.2f}" for key, weight in found.question.weights.items())
    return ("variant", "verdict", *names, "score", "first in resamples", "first in all weightings", *BESIDE)


def meanings(found: Shortlist) -> dict[str, str]:
    """Of the columns that are numbers, by what they are called there."""
    board, weights = found.board, found.question.weights
    named = dict(zip(shortlist_head(found)[2:], weights, strict=False))
    named |= {board.axes[key].title: key for key in weights}
    return {name: board.axes[key].meaning for name, key in named.items()}


def shortlist_rows(case: Case, most: int | None = None) -> list[Line]:
    """One line a candidate, the best score first; of the first of them where `most` is given."""
    return [candidate_line(each, case) for each in case.found.candidates[:most]]


def candidate_line(each: Candidate, case: Case) -> Line:
    """Evidence: numbers with intervals, verdict, score and shares, unopened data, licences, and what is not settled."""
    row, found, board = each.row, case.found, case.found.board
    cells = (value_text(row, board.axes[key]) for key in found.question.weights)
    verdict = f"{SIGNS[row.verdict]} {row.verdict}"
    shares = percent(each.resampled), percent(each.anyhow)
    beside = (
        standing(case.held_back, board, row),
        licences_text(licences_of(case, row.recipe_id)),
        "; ".join(open_points(row, found)),
    )
    return (label(row, board), verdict, *cells, f"{each.score:.3f}", *shares, *beside)


def value_text(row: Row, axis: Axis) -> str:
    """A number with its interval."""
    cell = row.cells.get(axis.key)
    if cell is None:
        return "–"
    text = number(cell.estimate, axis.unit, axis.metric)
    return text if cell.low == cell.high else f"{text} ({interval(cell.low, cell.high, axis.unit, axis.metric)})"


def open_points(row: Row, found: Shortlist) -> list[str]:
    """What is not settled about a candidate."""
    said = list(notes(row, found.board))
    if row.verdict == "contested":
        said.insert(0, "contested: not shown to be unbeaten")
    return said


def evidence_rows(row: Row, found: Shortlist) -> list[Line]:
    """(number, value, against the base, loss) for each that is weighed."""
    candidate = found.find(row.recipe_id)
    return [
        (
            full_name(found.board.axes[key]),
            value_text(row, found.board.axes[key]),
            against_base(row.places.get(key), found.board, key),
            "–" if candidate is None else f"{candidate.losses[key]:.2f}",
        )
        for key in found.question.weights
    ]


def scale_rows(found: Shortlist) -> list[Line]:
    """(number, at loss 0, at loss 1), in the form in which it is judged."""
    rows: list[Line] = []
    for key, (best, worst) in found.scale.items():
        axis = judged_axis(found.board, key)
        ends = (number(value, axis.unit, axis.metric) for value in (best, worst))
        rows.append((full_name(axis), *ends))
    return rows


def sensitivity_rows(found: Shortlist) -> list[Line]:
    """(number, from weight, to weight, choice, whether the stated weight lies there), all others in proportion."""
    rows: list[Line] = []
    for key, parts in found.sensitivity.items():
        title, weight = found.board.axes[key].title, found.question.weights[key]
        for part in parts:
            here = part.low <= weight <= part.high and part.choice == 0
            name = label(found.candidates[part.choice].row, found.board)
            rows.append((title, f"{part.low:.3f}", f"{part.high:.3f}", name, "now" if here else ""))
    return rows


def sensitivity_sentences(found: Shortlist) -> list[str]:
    """For each number, at which weights the choice changes and to whom."""
    return [] if len(found.candidates) < 2 else [_changes(found, key) for key in found.sensitivity]


def _changes(found: Shortlist, key: Key) -> str:
    parts, weight = found.sensitivity[key], found.question.weights[key]
    title = found.board.axes[key].title
    if len(parts) == 1:
        return f"{title} weighs {weight:.2f}: no other weight of it changes the choice."
    at = next(
        (i for i, part in enumerate(parts) if part.choice == 0 and part.low <= weight <= part.high),
        min(range(len(parts)), key=lambda i: min(abs(parts[i].low - weight), abs(parts[i].high - weight))),
    )
    said = []
    if at > 0:
        name = found.candidates[parts[at - 1].choice].row.name
        said.append(f"to {name} if it weighs under {parts[at].low:.3g}")
    if at < len(parts) - 1:
        name = found.candidates[parts[at + 1].choice].row.name
        said.append(f"to {name} if it weighs over {parts[at].high:.3g}")
    return f"{title} weighs {weight:.2f}: the choice changes {' and '.join(said)}."


def missing_licences(rows: Sequence[Line]) -> str:
    """A sentence where not everything states a licence; nothing where all do."""
    missing = sum(is_silent(licence) for _, _, licence, _ in rows)
    if not missing:
        return ""
    return f"{missing} of {len(rows)} state no licence that this store knows of: find it out before you approve."


def who(person: Person) -> str:
    """A person, and who vouches for them."""
    if person.how == "local":
        return f"{person.name} (account {person.subject}; local, identity not verified)"
    mail = f", {person.email}" if person.email else ""
    return f"{person.name}{mail} (subject {person.subject} at {person.issuer})"


def history_rows(history: History) -> list[Line]:
    """(number, when, who, what, data seen, hash) of each event, the oldest first."""
    return [
        (
            str(event.number),
            f"{event.at[:19].replace('T', ' ')} UTC",
            who(event.person),
            event_text(event),
            f"snapshot {event.seen.snapshot}, data {event.seen.digest[:16]}",
            hashed[:16],
        )
        for event, hashed in zip(history.events, history.hashes, strict=True)
    ]


def event_text(event: Event) -> str:
    """What was done and said."""
    if isinstance(event, Opened):
        said = f"opened: {event.title}"
    elif isinstance(event, Comment):
        said = f"commented: {event.text}"
    elif isinstance(event, Decision):
        said = f"{VERBS[event.kind]} {event.name}: {event.reason}"
    else:
        assert isinstance(event, Withdrawn | Reopened)
        said = f"{VERBS[event.kind]}: {event.reason}"
    missed = event.number - 1 - event.read_to
    if missed > 0:
        said += f" [written before {missed} event{'s' * (missed != 1)} ahead of it were read]"
    return said


def state_sentence(history: History, reasons: Sequence[str]) -> str:
    """Where a review stands, in words."""
    said = STATES[history.state]
    if history.state == "approved" and history.choice is not None:
        names = ", ".join(dict.fromkeys(d.person.name for d in history.decisions))
        unsure = f"; not known to keep {', '.join(history.choice.open)}" if history.choice.open else ""
        said = f"Approved: {history.choice.name}, by {names}{unsure}."
    elif history.state == "rejected":
        said = f"Rejected: {', '.join(dict.fromkeys(d.name for d in history.decisions))}."
    if reasons:
        said += " Flagged for reopening."
    return said
