"""Reviews: who stated which constraints, said what of the shortlist, and put their name to a decision.

Each is a folder `reviews/<review id>/` with one immutable file an event, `000001.json` and so on: of two who write at
once one gets the number and the other the next. Each event holds the SHA-256 of the bytes of the one before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from bench.code import code_version
from bench.errors import BadInput
from bench.identity import short
from bench.record import Frozen
from bench.store.folder import Folder

REVIEWS = "reviews"
FORMAT = 1
REVIEW_ID = re.compile(r"[0-9a-f]{16}")
NAME = re.compile(r"(\d{6})\.json")
MOST_TEXT = 10_000  # characters of a comment or reason
TRIES = 200  # numbers that others may take before ours is written


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty, and must be said in words")
    return text


Text = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_said)]
Word = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_said)]


class Person(Frozen):
    """Who wrote an event, and who vouches for that."""

    subject: Word  # of the identity provider, which it never gives to anyone else; or the account of the machine
    name: Word
    email: Annotated[str, Field(max_length=500)] | None = None
    issuer: Word  # URL of the identity provider, or "this machine"
    how: Literal["oidc", "local"]  # local: nobody checked who it is


class Seen(Frozen):
    """The data that were on the screen."""

    snapshot: Word  # name of the published snapshot
    published: Word  # UTC
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of what the snapshot says of the sweep


class Figure(Frozen):
    """A number of the chosen variant as it was when the decision was made."""

    metric: str
    scope: str
    estimate: float
    low: float
    high: float


class _Event(Frozen):
    """What every event says."""

    format: Literal[1] = 1
    review: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    number: Annotated[int, Field(ge=1, le=999_999)]
    at: str  # UTC
    person: Person
    seen: Seen
    read_to: Annotated[int, Field(ge=0)]  # number of the last event that the person had before them
    previous: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None  # SHA-256 of the bytes of the event before
    program: str


class Opened(_Event):
    """The question: what a variant must keep, and what weighs how much."""

    kind: Literal["opened"] = "opened"
    title: Word
    sweep_id: Word
    sweep: str
    base: str
    constraints: tuple[str, ...]  # as they were written
    weights: dict[str, Annotated[float, Field(ge=0)]]  # by metric or metric:scope; in sum 1


class Comment(_Event):
    """Something said of the review, or of one variant."""

    kind: Literal["comment"] = "comment"
    text: Text
    recipe_id: str | None = None


class Decision(_Event):
    """A variant approved or rejected, with the reason and the numbers that it had."""

    kind: Literal["approve", "reject"]
    recipe_id: Word
    artefact_id: str | None
    name: str
    reason: Text
    figures: tuple[Figure, ...]
    met: tuple[str, ...]  # constraints that it was known to meet
    open: tuple[str, ...] = ()  # and those that it may meet
    confirmed: str  # what was known from examples that nobody chose by
    contradicted: tuple[str, ...] = ()  # titles of numbers that those had contradicted
    beaten_in: tuple[str, ...] = ()  # sweep_id of others that had it dominated


class Withdrawn(_Event):
    """A person takes their own decision back."""

    kind: Literal["withdrawn"] = "withdrawn"
    reason: Text


class Reopened(_Event):
    """All decisions so far no longer count."""

    kind: Literal["reopened"] = "reopened"
    reason: Text


Event = Opened | Comment | Decision | Withdrawn | Reopened
Kind = Literal["opened", "comment", "approve", "reject", "withdrawn", "reopened"]
_READ: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
State = Literal["open", "approved", "rejected", "disputed"]


@dataclass(frozen=True, slots=True)
class History:
    """The events of one review in order, and what is wrong with their files."""

    review: str
    events: tuple[Event, ...]
    hashes: tuple[str, ...]  # SHA-256 of the bytes of each
    problems: tuple[str, ...] = ()

    @property
    def opened(self) -> Opened | None:
        first = self.events[0] if self.events else None
        return first if isinstance(first, Opened) else None

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions that count: the last of each person since the review was last reopened."""
        found: dict[tuple[str, str], Decision] = {}
        for event in self.events:
            who = (event.person.issuer, event.person.subject)
            if isinstance(event, Reopened):
                found.clear()
            elif isinstance(event, Withdrawn):
                found.pop(who, None)
            elif isinstance(event, Decision):
                found.pop(who, None)
                found[who] = event
        return tuple(found.values())

    @property
    def state(self) -> State:
        """Approved or rejected where all decisions that count say the same of the same variant; else disputed."""
        said = {(decision.kind, decision.recipe_id) for decision in self.decisions}
        if not said:
            return "open"
        if len(said) == 1:
            return "approved" if next(iter(said))[0] == "approve" else "rejected"
        return "disputed" if any(kind == "approve" for kind, _ in said) else "rejected"

    @property
    def choice(self) -> Decision | None:
        """The newest approval of an approved review."""
        return self.decisions[-1] if self.state == "approved" else None


def open_review(folder: Folder, person: Person, seen: Seen, **stated: Any) -> History:
    """Begin a review with its first event. Raises BadInput for what is no event, and where nothing can be written."""
    review = uuid4().hex[:16]
    return append(folder, review, "opened", person, seen, read_to=0, **stated)


def append(
    folder: Folder, review: str, kind: Kind, person: Person, seen: Seen, *, read_to: int, **said: Any
) -> History:
    """Write one event under the next free number. Returns the history with it.

    Args:
        folder: the store.
        review: its id.
        kind: of the event.
        person: who writes it.
        seen: the data before them.
        read_to: number of the last event before them.
        said: what an event of this kind holds beside that.

    Raises BadInput for what is no event of that kind, for a review that is not there or whose files were changed, and
    where nothing can be written.
    """
    for _ in range(TRIES):
        history = read_review(folder, review)
        _check_open(history, kind, person)
        event = _made(
            format=FORMAT,
            review=review,
            number=len(history.events) + 1,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            person=person,
            seen=seen,
            read_to=read_to,
            previous=history.hashes[-1] if history.hashes else None,
            program=program(),
            kind=kind,
            **said,
        )
        data = event.model_dump_json(indent=1).encode() + b"\n"
        if _created(folder, event, data):
            return History(review, (*history.events, event), (*history.hashes, hashlib.sha256(data).hexdigest()))
    raise BadInput(f"Others write into the review {review} faster than this can: try again.")


def _check_open(history: History, kind: Kind, person: Person) -> None:
    if history.problems:
        raise BadInput(
            f"Nothing can be added to the review {history.review}: {history.problems[0]} Open a new review instead."
        )
    if (kind == "opened") != (not history.events):
        raise BadInput(f"There is no review {history.review} in this store: open one, or choose another.")
    mine = any((d.person.issuer, d.person.subject) == (person.issuer, person.subject) for d in history.decisions)
    if kind == "withdrawn" and not mine:
        raise BadInput(f"{person.name} has no decision in this review that counts: there is nothing to withdraw.")


def _made(**fields: Any) -> Event:
    try:
        return _READ.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "event"
        said = first.get("ctx", {}).get("error", first["msg"])  # without pydantic's "Value error"
        raise BadInput(f"This cannot be written into a review: {where}: {said}.") from error


def _created(folder: Folder, event: Event, data: bytes) -> bool:
    """Whether the event got its number."""
    name = f"{REVIEWS}/{event.review}/{event.number:06d}.json"
    try:
        if folder.bucket is None:
            (folder.root / name).parent.mkdir(parents=True, exist_ok=True)
        folder.place.create(name, data)
    except FileExistsError:
        return False
    except OSError as error:
        raise BadInput(
            f"The review cannot be written into the store ({error.strerror}): make its folder {REVIEWS} writable for "
            "whoever serves the page."
        ) from error
    return True


def list_reviews(folder: Folder) -> list[History]:
    """All reviews of a store, the newest first. What is damaged says so in its problems."""
    with _readable():
        names = [name for name in folder.place.folders(REVIEWS) if REVIEW_ID.fullmatch(name)]
    found = [read_review(folder, name) for name in names]
    return sorted(found, key=lambda h: h.events[0].at if h.events else "", reverse=True)


def read_review(folder: Folder, review: str) -> History:
    """The events of a review up to the first that cannot be trusted; what is wrong is said in its problems.

    A review that is not there has no events. Raises BadInput for what is no id.
    """
    if REVIEW_ID.fullmatch(review) is None:
        raise BadInput(f"{review[:40]!r} is no review: its id has 16 hexadecimal digits; choose one from the list.")
    events: list[Event] = []
    hashes: list[str] = []
    with _readable():
        names = folder.place.names(f"{REVIEWS}/{review}")
    for name in names:
        try:
            found, hashed = _read(folder, review, name, len(events) + 1, hashes[-1] if hashes else None)
        except BadInput as error:
            return History(review, tuple(events), tuple(hashes), (str(error),))
        events.append(found)
        hashes.append(hashed)
    return History(review, tuple(events), tuple(hashes))


def _read(folder: Folder, review: str, name: str, number: int, previous: str | None) -> tuple[Event, str]:
    """One event and its hash. Raises BadInput for what is not the next event."""
    match = NAME.fullmatch(name)
    if match is None:
        raise BadInput(f"{name!r} is no event: someone put it among the files of the review.")
    if int(match[1]) != number:
        raise BadInput(f"Event {number} is missing.")
    with _readable():
        data = folder.place.read(f"{REVIEWS}/{review}/{name}")
    try:
        body = json.loads(data)
        format_ = int(body["format"])
        if format_ > FORMAT:
            raise BadInput(
                f"Event {number} was written by a newer paredown (format {format_}, and this reads {FORMAT}): update "
                "this one."
            )
        event = _READ.validate_json(data)
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"Event {number} cannot be read: its file was changed or damaged.") from error
    if event.previous != previous:
        raise BadInput(
            f"The chain is broken at event {number}: what stands before it is not what it was written after."
        )
    if (event.review, event.number) != (review, number) or (number == 1) != isinstance(event, Opened):
        raise BadInput(f"Event {number} belongs elsewhere: its file was moved or changed.")
    return event, hashlib.sha256(data).hexdigest()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"The reviews of the store cannot be read ({error.strerror}): make its folder {REVIEWS} readable for "
            "whoever serves the page."
        ) from error


@cache
def program() -> str:
    """Version of the program, and the digest of its sources."""
    try:
        number = version("paredown")
    except PackageNotFoundError:
        number = "unreleased"
    return f"paredown {number}, sources {short(code_version())}"
