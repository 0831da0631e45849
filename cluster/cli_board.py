"""The verb `paredown board`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BadInput
from cluster.options import STORE, StoreOption


def board(
    store: StoreOption = STORE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on the loopback address.")] = 8501,
    auth: Annotated[
        Path | None, typer.Option(help="TOML file of the identity provider that vouches for those who write reviews.")
    ] = None,
    locally: Annotated[
        bool, typer.Option("--sign-locally", help="Let whoever is on this machine write reviews, unverified.")
    ] = False,
) -> None:
    """Open the leaderboard page, on the loopback address."""
    from bench.store.folder import open_folder
    from leaderboard.serve import serve
    from leaderboard.sign_in import read_auth

    if auth and locally:
        raise BadInput("--auth and --sign-locally exclude each other: name a provider, or let nobody vouch for anyone.")
    provider = read_auth(auth) if auth else None
    raise typer.Exit(serve(Path(open_folder(store).location), port, provider, locally=locally))
