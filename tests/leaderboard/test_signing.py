"""Who may write: the file that names a provider, what it says of a person, and loopback."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from bench.errors import BadInput
from bench.store.folder import open_folder
from bench.store.reader import open_snapshot
from bench.store.reviews import list_reviews
from leaderboard import signing
from leaderboard.review import writing
from leaderboard.review.case import Case, read_case
from leaderboard.serve import command, environment
from leaderboard.sign_in import Auth, read_auth
from leaderboard.signing import SIGNING, NotSignedIn, signer
from leaderboard.source import STORE

GOOD = {
    "redirect_uri": "http://localhost:8501/oauth2callback",
    "cookie_secret": "c" * 32,
    "client_id": "board",
    "client_secret": "s3cret",
    "server_metadata_url": "https://id.example.invalid/.well-known/openid-configuration",
}
NAMED = '[auth.one]\nclient_id = "a"\nclient_secret = "b"\nserver_metadata_url = "https://x.invalid/y"\n'


def written(folder: Path, values: dict[str, str], more: str = "") -> Path:
    path = folder / "auth.toml"
    path.write_text("\n".join(["[auth]", *(f'{key} = "{value}"' for key, value in values.items()), more]))
    return path


def test_a_file_that_can_be_used(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    found = read_auth(path)
    assert found == Auth(path.resolve(), "localhost")
    shared = {**GOOD, "redirect_uri": "https://board.example.invalid/oauth2callback"}
    assert read_auth(written(tmp_path, shared)).host == "board.example.invalid"
    two = {key: GOOD[key] for key in ("redirect_uri", "cookie_secret")}
    assert read_auth(written(tmp_path, two, NAMED)).host == "localhost"


@pytest.mark.parametrize(
    ("changed", "more", "sentence"),
    [
        ({"client_secret": ""}, "", r"section \[auth\] of .* lacks client_secret"),
        ({"cookie_secret": "short"}, "", "cookie_secret in .* has fewer than 32"),
        ({"redirect_uri": "http://localhost:8501/"}, "", "redirect_uri in .* with /oauth2callback behind it"),
        ({"redirect_uri": "http://board.invalid/oauth2callback"}, "", "https unless it is this machine"),
        ({"redirect_uri": "http://[oops/oauth2callback"}, "", "redirect_uri"),
        ({"server_metadata_url": "http://id.invalid/x"}, "", "is no https address"),
        ({"server_metadata_url": "file:///etc/passwd"}, "", "is no https address"),
        ({}, NAMED.replace("auth.one", "auth.my_one"), "underscore"),
        ({}, NAMED.replace('client_id = "a"\n', ""), r"section \[auth.one\] of .* lacks client_id"),
        ({}, "no toml", "is no TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(
    tmp_path: Path, changed: dict[str, str], more: str, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence) as refused:
        read_auth(written(tmp_path, {**GOOD, **changed}, more))
    assert "s3cret" not in str(refused.value)
    assert "c" * 32 not in str(refused.value)


def test_no_file_and_no_section_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_auth(tmp_path / "missing.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(BadInput, match=r"has no section \[auth\]"):
        read_auth(tmp_path / "empty.toml")


def test_the_page_is_told_how_to_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNING, "local")
    assert environment(tmp_path)[SIGNING] == ""  # what the shell holds opens nothing
    assert environment(tmp_path, "oidc")[SIGNING] == "oidc"
    line = command(8501, Auth(tmp_path / "a.toml", "board.example.invalid"))
    assert f"--secrets.files={tmp_path / 'a.toml'}" in line
    assert "--server.allowedHosts=board.example.invalid" in line
    assert "--server.address=127.0.0.1" in line
    assert not [word for word in command(8501) if "allowedHosts" in word]


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a provider said of somebody, changed by tests."""
    found: dict[str, Any] = {"is_logged_in": True, "sub": "a-1", "iss": "https://id.invalid", "aud": "board"}
    found |= {"iat": time.time() - 60, "name": "Anna", "email": "a@x.invalid", "provider": "default"}
    monkeypatch.setenv(SIGNING, "oidc")
    monkeypatch.setattr(signing, "_section", lambda: GOOD)
    monkeypatch.setattr(type(st.user), "to_dict", lambda self: found)
    return found


def test_a_person_is_who_the_provider_says(claims: dict[str, Any]) -> None:
    person = signer("Mallory")
    assert (person.subject, person.issuer, person.how) == ("a-1", "https://id.invalid", "oidc")
    assert (person.name, person.email) == ("Anna", "a@x.invalid")
    claims |= {"aud": ["other", "board"], "name": None, "email": None, "preferred_username": "anna"}
    assert (signer().name, signer().email) == ("anna", None)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"is_logged_in": False}, "Sign in first"),
        ({"sub": ""}, "no subject and issuer"),
        ({"iss": None}, "no subject and issuer"),
        ({"aud": "another"}, "made for another program"),
        ({"aud": None}, "made for another program"),
        ({"iat": time.time() - 13 * 3600}, "more than 12 hours ago"),
        ({"iat": None}, "more than 12 hours ago"),
        ({"iat": "now"}, "more than 12 hours ago"),
    ],
)
def test_a_token_that_is_not_enough_signs_nothing(claims: dict[str, Any], changed: Any, sentence: str) -> None:
    claims.update(changed)
    with pytest.raises(NotSignedIn, match=sentence):
        signer()


@pytest.fixture
def case(store: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv(STORE, str(store))
    with open_snapshot(store) as snapshot:
        return read_case(snapshot, None)


@pytest.mark.parametrize("way", ["", "oidc", "anything"])
def test_what_writes_refuses_whoever_is_not_signed_in(
    case: Case, store: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The buttons are not asked: the function itself is called."""
    monkeypatch.setenv(SIGNING, way)
    st.session_state[writing.ON_SCREEN] = writing.OnScreen(case.seen.digest)
    with pytest.raises(NotSignedIn):
        writing.begin(case, "A phone", "Mallory")
    assert list_reviews(open_folder(store)) == []


@pytest.mark.parametrize(
    ("address", "ip", "headers"),
    [
        ("0.0.0.0", None, {}),
        ("", None, {}),
        ("127.0.0.1", "10.0.0.7", {}),
        ("127.0.0.1", None, {"X-Forwarded-For": "10.0.0.7"}),
        ("127.0.0.1", None, {"Via": "1.1 proxy"}),
    ],
)
def test_signing_locally_is_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, address: str, ip: str | None, headers: dict[str, str]
) -> None:
    monkeypatch.setenv(SIGNING, "local")
    here = type("Here", (), {"ip_address": ip, "headers": headers})()
    monkeypatch.setattr(st, "context", here)
    monkeypatch.setattr(st.config, "get_option", lambda name: address)
    with pytest.raises(NotSignedIn, match="on this machine alone"):
        signer("Mallory")
    monkeypatch.setattr(st, "context", type("Here", (), {"ip_address": None, "headers": {}})())
    monkeypatch.setattr(st.config, "get_option", lambda name: "127.0.0.1")
    assert signer("Dora").how == "local"
    assert signer("Dora").name == "Dora"
    assert signer("  ").name == signer().subject
