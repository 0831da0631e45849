"""A real OpenID Connect provider on the loopback address: `python -m tests.browser.provider PORT`.

Authorization code flow with PKCE (S256), state and nonce, tokens signed with RS256, keys at a JWKS address. It can be
told to hand out a token that nobody may accept: POST /fault with its name.
"""

from __future__ import annotations

import base64
import hashlib
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


def make(port: int) -> Flask:
    """The provider as an application."""
    app = Flask("provider")
    issuer = f"http://127.0.0.1:{port}"
    key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
    stranger = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
    codes: dict[str, dict[str, str]] = {}
    told: dict[str, str] = {"fault": ""}

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            jwks_uri=f"{issuer}/keys",
            response_types_supported=["code"],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=["RS256"],
            code_challenge_methods_supported=["S256"],
            token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
        )

    @app.get("/keys")
    def keys() -> Response:
        return jsonify(keys=[key.as_dict(private=False)])

    @app.get("/authorize")
    def authorize() -> Any:
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
        codes[code] = {**asked.to_dict(), "as": person}
        return redirect(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    @app.post("/token")
    def token() -> Any:
        """A code for a token, once, to whom it was given."""
        given = request.authorization
        client = (given.username, given.password) if given else (request.form.get("client_id"), _secret())
        asked = codes.pop(request.form.get("code", ""), None)
        if client != (CLIENT, SECRET) or asked is None or asked["redirect_uri"] != request.form.get("redirect_uri"):
            return jsonify(error="invalid_grant"), 400
        verifier = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != asked["code_challenge"]:
            return jsonify(error="invalid_grant"), 400
        return jsonify(
            access_token=secrets.token_urlsafe(16), token_type="Bearer", expires_in=300, id_token=_token(asked)
        )

    def _secret() -> str | None:
        return request.form.get("client_secret")

    def _token(asked: dict[str, str]) -> str:
        now, fault = int(time.time()), told["fault"]
        claims = {
            "iss": "http://127.0.0.1:1/another" if fault == "issuer" else issuer,
            "aud": ["another-program"] if fault == "audience" else CLIENT,
            "azp": CLIENT,
            "iat": now - 7200 if fault == "expired" else now,
            "exp": now - 3600 if fault == "expired" else now + 300,
            "nonce": "another" if fault == "nonce" else asked["nonce"],
            **PEOPLE[asked["as"]],
        }
        if fault == "none":
            parts = (b'{"alg":"none","kid":"one"}', jsonify(claims).get_data())
            return ".".join([*(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts), ""])
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, stranger if fault == "key" else key)

    @app.get("/favicon.ico")
    def icon() -> tuple[str, int]:
        return "", 204

    @app.post("/fault")
    def fault() -> str:
        told["fault"] = request.get_data(as_text=True)
        assert told["fault"] in ("", "audience", *FAULTS)
        return "ok"

    return app


if __name__ == "__main__":
    make(int(sys.argv[1])).run("127.0.0.1", int(sys.argv[1]), threaded=True)
