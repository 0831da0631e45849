"""Who may write, and who vouches for them: an identity provider, or on this machine alone nobody.

The page asks here right before it writes; that a button is hidden protects nothing.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import time
from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from bench.store.reviews import Person

SIGNING = "PAREDOWN_SIGNING"  # environment variable that `paredown board` sets: oidc, local or nothing
SIGN_IN_SECONDS = 12 * 3600  # after which whoever signs must have signed in again
LOCAL = "this machine"  # issuer of whom nobody vouches for
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")
HOW = (
    "Reading needs no sign-in. To comment and decide, whoever serves this page starts it with `paredown board --auth "
    "FILE`, which names an identity provider, or with `--sign-locally` for one person on this machine."
)
Mode = Literal["oidc", "local", "none"]


class NotSignedIn(Exception):  # noqa: N818 - the name says what it is
    """Nobody is signed in who may write, in one sentence."""


def mode() -> Mode:
    """How this page was told to sign."""
    asked = os.environ.get(SIGNING, "")
    return "oidc" if asked == "oidc" else "local" if asked == "local" else "none"


def signer(typed: str = "") -> Person:
    """Who is in front of the page. Raises NotSignedIn.

    Args:
        typed: the name that the person goes by, where nobody vouches for it.
    """
    now = mode()
    if now == "oidc":
        return _vouched_for(_claims())
    if now == "local":
        _check_loopback()
        account = _account()
        return Person(subject=account, name=typed.strip()[:200] or account, issuer=LOCAL, how="local")
    raise NotSignedIn(HOW)


def signed_in() -> Person | None:
    """Who is signed in at the identity provider, if anybody."""
    try:
        return signer() if mode() == "oidc" else None
    except NotSignedIn:
        return None


def providers() -> list[str | None]:
    """Names of the identity providers to choose from, None for the only one; empty where none was named."""
    section = _section()
    if not section:
        return []
    named = [str(name) for name, value in section.items() if isinstance(value, Mapping) and "client_id" in value]
    return [*named] if named else [None]


def _claims() -> Mapping[str, Any]:
    """What the provider said of whoever is signed in, checked by Streamlit when they did. Raises NotSignedIn."""
    found = st.user.to_dict()
    if not found.get("is_logged_in"):
        raise NotSignedIn("Sign in first: only a signed-in person can comment and decide.")
    return found


def _vouched_for(claims: Mapping[str, Any]) -> Person:
    """The person in an identity token. Raises NotSignedIn for a token that is not for this page, or too old."""
    subject, issuer = str(claims.get("sub") or ""), str(claims.get("iss") or "")
    if not subject.strip() or not issuer.strip():
        raise NotSignedIn(
            "The identity provider gave no subject and issuer, so that nothing can be signed: tell it to."
        )
    stated = claims.get("aud")
    audience = [str(each) for each in stated] if isinstance(stated, list) else [str(stated)]
    if not set(audience) & _clients(str(claims.get("provider") or "default")):
        raise NotSignedIn("You are signed in with a token that was made for another program: sign out and in again.")
    since = claims.get("iat")
    if not isinstance(since, int | float) or time.time() - since > SIGN_IN_SECONDS:
        hours = SIGN_IN_SECONDS // 3600
        raise NotSignedIn(f"You signed in more than {hours} hours ago: sign out and in again before you sign anything.")
    mail = str(claims["email"])[:500] if claims.get("email") else None
    name = str(claims.get("name") or claims.get("preferred_username") or mail or subject)[:200]
    return Person(subject=subject, name=name, email=mail, issuer=issuer, how="oidc")


def _section() -> Mapping[str, Any]:
    """What the file of the identity provider says; nothing where the page was started without one."""
    try:
        found = st.secrets.get("auth", {})
    except FileNotFoundError:
        return {}
    return found.to_dict() if hasattr(found, "to_dict") else dict(found)


def _clients(provider: str) -> set[str]:
    """The names under which the provider knows this page."""
    section = _section()
    mine = section.get(provider)
    known = mine if isinstance(mine, Mapping) else section
    return {str(known["client_id"])} if known.get("client_id") else set()


def _check_loopback() -> None:
    """Raise NotSignedIn unless the page and its visitor are on this machine, with nothing between them."""
    served = str(st.config.get_option("server.address") or "")
    headers = st.context.headers
    passed_on = [name for name in FORWARDED if name in headers]
    if not _is_loopback(served) or st.context.ip_address is not None or passed_on:
        raise NotSignedIn(
            "Signing locally works on this machine alone, and this page is reached from elsewhere or through a proxy: "
            "use `paredown board --auth FILE`."
        )


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
