"""A store in an S3-compatible bucket, named `s3://bucket/prefix`.

What is created goes up as one PUT with `If-None-Match: *`, so that of two that create one name one wins. What never
changes is copied into a folder of this machine once. Credentials, region and endpoint are those of the AWS variables
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and so on), or with boto3 whatever it finds.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from bench.artefact_cache import cache_folder
from bench.errors import BadInput, Unreachable
from bench.store.places import DRAFT, Local

PATIENCE = 120.0  # seconds that a bucket may answer nothing or only errors
FIRST_PATIENCE = 15.0  # before it has answered anything
ANSWER = timedelta(seconds=60)  # within which one request must be answered
FIRST_PAUSE = 0.1  # seconds until what failed is tried again; twice as long each further time
SIDE_BY_SIDE = 8
ABANDONED = 3600.0  # seconds after which nobody is still writing a draft
Answer = TypeVar("Answer")
_answered: set[str] = set()  # URLs that have answered in this process


def copies_of(identity: str) -> Path:
    """Where copies of what a store in a bucket holds are kept: by the name that the store was born with."""
    return cache_folder() / "stores" / identity


def _connected(url: str) -> Any:
    """A client for everything under a URL, with this moment's AWS variables. Raises as `_client`."""
    return _client(url, tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))))


@cache
def _client(url: str, variables: tuple[tuple[str, str], ...]) -> Any:
    """A client of its own for each set of variables. Raises BadInput where there is no library or the URL is none."""
    del variables  # the library reads them where they are
    if find_spec("obstore") is None:
        raise BadInput(f"The store {url} needs the S3 library, which is not installed: pip install 'paredown[s3]'.")
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    options: dict[str, Any] = {
        "prefix": prefix or None,
        "client_options": {"allow_http": endpoint.startswith("http://"), "timeout": ANSWER, "connect_timeout": "5s"},
        "retry_config": {
            "max_retries": 3,  # what goes on longer is tried again below, by patience
            "retry_timeout": timedelta(seconds=FIRST_PATIENCE),
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_PAUSE),
                "max_backoff": timedelta(seconds=20 * FIRST_PAUSE),
                "base": 2,
            },
        },
    }
    if endpoint:
        options["endpoint"] = endpoint
    if "AWS_ACCESS_KEY_ID" not in os.environ and find_spec("boto3") is not None:
        options |= _found_by_boto3()
    try:
        return S3Store(bucket, **options)
    except (BaseError, ValueError) as error:
        raise BadInput(f"{url} is no bucket that can be used ({_first(error)}): give s3://BUCKET/PREFIX.") from error


def _found_by_boto3() -> dict[str, Any]:
    """Credentials as boto3 finds them (profiles, single sign-on); nothing where it finds none."""
    import boto3  # type: ignore[import-untyped]

    session = boto3.Session()
    if session.get_credentials() is None:
        return {}
    from obstore.auth.boto3 import Boto3CredentialProvider

    return {"credential_provider": Boto3CredentialProvider(session)}


@dataclass(frozen=True, slots=True)
class Bucket:
    """A `bench.store.places.Place`; `root` holds copies of what never changes.

    Raises BadInput for what will not pass (no such bucket, no permission), Unreachable after long enough without an
    answer that helps: throttling, broken connections and timeouts are waited out.
    """

    url: str
    root: Path

    @property
    def location(self) -> str:
        return self.url

    def create(self, name: str, data: bytes) -> None:
        from obstore import put
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def once(client: Any) -> None:
            try:
                put(client, name, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError) as error:
                # The answer to an earlier try may have been lost: what is there is then ours.
                if self.read(name) != data:
                    raise FileExistsError(name) from error

        self._ask(once)
        self._copy(name, data)

    def replace(self, name: str, data: bytes) -> None:
        from obstore import put

        self._ask(lambda client: put(client, name, data, use_multipart=False))

    def read(self, name: str) -> bytes:
        from obstore import get

        return self._ask(lambda client: bytes(get(client, name).bytes()))

    def has(self, name: str) -> bool:
        try:
            self._about(name)
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        return sorted(name for name in self.sizes(folder) if not name.startswith("."))

    def folders(self, folder: str) -> list[str]:
        from obstore import list_with_delimiter

        found = self._ask(lambda client: list_with_delimiter(client, folder))
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def sizes(self, folder: str) -> dict[str, int]:
        """File name -> bytes, of the files in a folder."""
        from obstore import list_with_delimiter

        found = self._ask(lambda client: list_with_delimiter(client, folder))
        return {each["path"].rpartition("/")[2]: each["size"] for each in found["objects"]}

    def all_sizes(self) -> dict[str, int]:
        """Path -> bytes, of every file under the URL: one request for each thousand."""
        from obstore import list as list_

        def once(client: Any) -> dict[str, int]:
            return {each["path"]: each["size"] for some in list_(client, chunk_size=1000) for each in some}

        return self._ask(once)

    def anything(self) -> bool:
        """Whether the bucket holds anything under the prefix. Raises BadInput where there is no such bucket."""
        from obstore import list as list_

        return self._ask(lambda client: bool(next(iter(list_(client, chunk_size=1)), ())))

    def touch(self, name: str) -> None:
        self.replace(name, self.read(name))

    def idle(self, name: str, *, probe: bool) -> float:
        written: datetime = self._about(name)["last_modified"]
        now = datetime.now(UTC)
        if probe:
            self.replace("lease/.now", b"")
            now = self._about("lease/.now")["last_modified"]
        return (now - written).total_seconds()

    def keep(self, draft: Path, name: str) -> Path:
        self.send(draft, name)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return draft.rename(path)

    def send(self, path: Path, name: str) -> None:
        """Upload a file of this machine."""
        from obstore import put

        def once(client: Any) -> None:
            with path.open("rb") as file:
                put(client, name, file)

        self._ask(once)

    def near(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            self.fetch(name, path)
        return path

    def fetch(self, name: str, path: Path) -> None:
        """Download a file, written beside and renamed. Raises FileNotFoundError."""
        from obstore import get

        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{uuid4().hex}{DRAFT}")

        def once(client: Any) -> None:
            found = get(client, name)
            with draft.open("wb") as file:
                for chunk in found.stream(min_chunk_size=1 << 20):
                    file.write(chunk)
                if file.tell() != found.meta["size"]:
                    raise ConnectionError(f"{file.tell()} of {found.meta['size']} bytes came")

        try:
            self._ask(once)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def gather(self, folder: str) -> Path:
        here = self.root / folder
        here.mkdir(parents=True, exist_ok=True)
        held = {path.name for path in here.iterdir()}  # before the bucket is asked: what comes after may be new there
        there = set(self.names(folder))
        for name in held - there:
            if not name.startswith("."):
                (here / name).unlink(missing_ok=True)
        missing = sorted(there - held)
        if missing:
            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                list(pool.map(lambda name: self.fetch(f"{folder}/{name}", here / name), missing))
        return here

    def remove(self, name: str) -> None:
        from obstore import delete

        self._ask(lambda client: delete(client, name))
        (self.root / name).unlink(missing_ok=True)

    def tidy(self, folder: str) -> None:
        """Drafts exist in the folder of copies only, where another process may be writing one."""
        for left in (self.root / folder).glob(f".*{DRAFT}"):
            with suppress(OSError):
                if left.stat().st_mtime < time.time() - ABANDONED:
                    left.unlink()

    def _about(self, name: str) -> Mapping[str, Any]:
        from obstore import head

        return self._ask(lambda client: head(client, name))

    def _copy(self, name: str, data: bytes) -> None:
        """Keep what was just created, so that it need not come back; without room it comes when it is wanted."""
        folder = (self.root / name).parent
        if self.root != Path() and folder.is_dir():
            with suppress(OSError):
                Local(self.root).replace(name, data)

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        client = _connected(self.url)
        patience = PATIENCE if self.url in _answered else FIRST_PATIENCE
        deadline, pause = time.monotonic() + patience, FIRST_PAUSE
        while True:
            try:
                with _understood(self.url):
                    answer = question(client)
            except (FileNotFoundError, FileExistsError):
                _answered.add(self.url)
                raise
            except ConnectionError as error:
                if time.monotonic() > deadline:
                    if patience == FIRST_PATIENCE:
                        raise BadInput(f"{self.url} cannot be reached ({error}): check AWS_ENDPOINT_URL.") from error
                    raise Unreachable(f"{self.url} has not answered for {patience:.0f} s ({error})") from error
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - only so that not all ask at once
                pause = min(2 * pause, 50 * FIRST_PAUSE)
            else:
                _answered.add(self.url)
                return answer


@contextmanager
def _understood(url: str) -> Iterator[None]:
    """What the library raises as what it means: BadInput where it will not pass, ConnectionError where it may."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise BadInput(
            f"{url} may not be read or written with these credentials ({_first(error)}): "
            "check AWS_ACCESS_KEY_ID and what its owner is allowed."
        ) from error
    except (BaseError, TimeoutError) as error:
        text = str(error)
        if "169.254.169.254" in text or "credential" in text.lower():
            raise BadInput(
                f"There are no credentials for {url}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or install boto3 to use its profiles."
            ) from error
        if "NoSuchBucket" in text:
            raise BadInput(f"The bucket of {url} does not exist: make it first, or give another --store.") from error
        if any(code in text for code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403 ")):
            raise BadInput(
                f"{url} may not be read or written with these credentials ({_first(error)}): "
                "check AWS_ACCESS_KEY_ID and what its owner is allowed."
            ) from error
        raise ConnectionError(_first(error)) from error


def _first(error: BaseException) -> str:
    """What an error says in a few words: its own first line."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[0].split())[:200]
