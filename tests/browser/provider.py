"""A real OpenID Connect provider on the loopback address: `python -m tests.browser.provider PORT`.

Authorization code flow with PKCE (S256), state and nonce, tokens signed with RS256, keys at a JWKS address. It can be
told to hand out a token that nobody may accept: POST /fault with its name.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "the-board", "of-the-board"
PEOPLE = {
    "anna": {"sub": "8f3a-anna", "name": "Anna <b>Ahm</b>", "email": "anna@example.invalid", "email_verified": True},
    "ben": {"sub": "51c2-ben", "name": "Ben Behr", "email": "ben@example.invalid", "email_verified": True},
}
FAULTS = ("nonce", "issuer", "expired", "key", "none")  # and "audience", which one library lets pass


class Provider:
    """What the provider knows, and what it answers."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.stranger = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.codes: dict[str, dict[str, str]] = {}
        self.fault = ""
        self.app = Flask("provider")
        self.app.get("/.well-known/openid-configuration")(self.discovery)
        self.app.get("/keys")(self.keys)
        self.app.get("/authorize")(self.authorize)
        self.app.post("/token")(self.token)
        self.app.get("/favicon.ico")(lambda: ("", 204))
        self.app.post("/fault")(self.told)

    def discovery(self) -> Response:
        return jsonify(
            issuer=self.issuer,
            authorization_endpoint=f"{self.issuer}/authorize",
            token_endpoint=f"{self.issuer}/token",
            jwks_uri=f"{self.issuer}/keys",
            response_types_supported=["code"],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=["RS256"],
            code_challenge_methods_supported=["S256"],
            token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
        )

    def keys(self) -> Response:
        return jsonify(keys=[self.key.as_dict(private=False)])

    def authorize(self) -> Any:
        """A page that asks who one is; then back, with a code."""
        asked = request.args
        if asked.get("client_id") != CLIENT or asked.get("response_type") != "code":
            return "not a client of this provider", 400
        if asked.get("code_challenge_method") != "S256" or not (asked.get("state") and asked.get("nonce")):
            return "S256, state and nonce are required", 400
        person = asked.get("as")
        if person not in PEOPLE:
            links = (f'<a href="?{urlencode({**asked, "as": name})}">{name}</a>' for name in PEOPLE)
            return f"<h1>Who are you?</h1>{' '.join(links)}"
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked.to_dict(), "as": person}
        return redirect(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    def token(self) -> Any:
        """A code for a token, once, to whom it was given."""
        given, form = request.authorization, request.form
        client = (given.username, given.password) if given else (form.get("client_id"), form.get("client_secret"))
        asked = self.codes.pop(form.get("code", ""), None)
        if client != (CLIENT, SECRET) or asked is None or asked["redirect_uri"] != form.get("redirect_uri"):
            return jsonify(error="invalid_grant"), 400
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if _text(verifier) != asked["code_challenge"]:
            return jsonify(error="invalid_grant"), 400
        return jsonify(access_token=secrets.token_urlsafe(16), token_type="Bearer", id_token=self.identity(asked))

    def identity(self, asked: dict[str, str]) -> str:
        """Who somebody is, signed."""
        now = int(time.time())
        claims = {
            "iss": "http://127.0.0.1:1/another" if self.fault == "issuer" else self.issuer,
            "aud": ["another-program"] if self.fault == "audience" else CLIENT,
            "azp": CLIENT,
            "iat": now - 7200 if self.fault == "expired" else now,
            "exp": now - 3600 if self.fault == "expired" else now + 300,
            "nonce": "another" if self.fault == "nonce" else asked["nonce"],
            **PEOPLE[asked["as"]],
        }
        if self.fault == "none":
            return f"{_text(json.dumps({'alg': 'none', 'kid': 'one'}).encode())}.{_text(json.dumps(claims).encode())}."
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.stranger if self.fault == "key" else self.key)

    def told(self) -> str:
        """Have the tokens to come be such that nobody may accept them."""
        self.fault = request.get_data(as_text=True)
        assert self.fault in ("", "audience", *FAULTS)
        return "ok"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    Provider(int(sys.argv[1])).app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
