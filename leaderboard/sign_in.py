"""The file that names an identity provider: checked before the page starts, so that nobody finds out at the button."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.errors import BadInput

CALLBACK = "/oauth2callback"
SHORTEST_SECRET = 32  # characters that sign the cookie of whoever is signed in
OF_PROVIDER = ("client_id", "client_secret", "server_metadata_url")
FORM = (
    "It is a TOML file with a section [auth] that has redirect_uri, cookie_secret, client_id, client_secret and "
    "server_metadata_url: see docs/review.md."
)


@dataclass(frozen=True, slots=True)
class Auth:
    """A checked file, and the host under which people reach the page."""

    file: Path
    host: str


def read_auth(path: Path) -> Auth:
    """Check the file. Raises BadInput with one sentence, which never holds a secret."""
    if find_spec("authlib") is None:
        raise BadInput("--auth needs Authlib, which is not installed: pip install 'paredown[board]'.")
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("auth")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The file {path} that --auth names cannot be read ({_reason(error)}). {FORM}") from error
    except tomllib.TOMLDecodeError as error:
        # Not what the parser says: it may quote a line with a secret in it.
        raise BadInput(f"The file {path} that --auth names is no TOML. {FORM}") from error
    if not isinstance(section, dict):
        raise BadInput(f"The file {path} that --auth names has no section [auth]. {FORM}")
    named = {name: value for name, value in section.items() if isinstance(value, dict) and name != "client_kwargs"}
    for name, provider in (named or {"": section}).items():
        _check_provider(path, f"auth.{name}" if name else "auth", name, provider)
    if len(str(section.get("cookie_secret", ""))) < SHORTEST_SECRET:
        raise BadInput(
            f"The cookie_secret in {path} has fewer than {SHORTEST_SECRET} characters: give a long random one, such as "
            "`python -c 'import secrets; print(secrets.token_hex(32))'` prints."
        )
    return Auth(path.resolve(), _host(path, str(section.get("redirect_uri", ""))))


def _check_provider(path: Path, place: str, name: str, provider: Mapping[str, Any]) -> None:
    missing = [key for key in OF_PROVIDER if not str(provider.get(key, "")).strip()]
    if missing:
        raise BadInput(f"The section [{place}] of {path} lacks {', '.join(missing)}. {FORM}")
    if "_" in name:
        raise BadInput(f"The provider {name!r} in {path} has an underscore in its name: choose another name.")
    if not _safe(str(provider["server_metadata_url"])):
        raise BadInput(
            f"The server_metadata_url of [{place}] in {path} is no https address: over plain http anyone on the way "
            "could sign as anybody."
        )


def _host(path: Path, redirect: str) -> str:
    found = urlsplit(redirect) if _safe(redirect) else None
    if found is None or found.path != CALLBACK or not found.hostname:
        raise BadInput(
            f"The redirect_uri in {path} is {redirect!r}: give the address at which people open the page, with "
            f"{CALLBACK} behind it, such as http://localhost:8501{CALLBACK}; https unless it is this machine."
        )
    return found.hostname


def _safe(url: str) -> bool:
    """Whether nobody on the way can read along: https, or this machine."""
    try:
        found = urlsplit(url)
        host = found.hostname or ""
    except ValueError:
        return False
    if found.scheme == "https":
        return bool(host)
    if host == "localhost":
        return found.scheme == "http"
    try:
        return found.scheme == "http" and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is no text"
