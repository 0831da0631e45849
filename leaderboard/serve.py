"""Runs the page: Streamlit in a process of its own, on the loopback address only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

from bench.errors import BadInput
from bench.store.folder import bucket_url
from leaderboard import PAGE
from leaderboard.sign_in import Auth

ADDRESS = "127.0.0.1"
START_SECONDS = 30.0
END_SECONDS = 10.0


def serve(store: Path, port: int, auth: Auth | None = None, *, locally: bool = False) -> int:
    """Show the store on http://127.0.0.1:port until Ctrl-C, which ends it with 0. Raises BadInput for a port in use.

    Args:
        store: its folder or bucket.
        port: on the loopback address.
        auth: the identity provider that vouches for those who write reviews.
        locally: let whoever is on this machine write reviews, with nobody vouching for them.
    """
    if find_spec("streamlit") is None:
        raise BadInput("The leaderboard page needs Streamlit, which is not installed: pip install 'paredown[board]'.")
    _check_port(port)
    signal.signal(signal.SIGTERM, _end)  # whoever ends this process must not leave the page behind
    signing = "oidc" if auth else "local" if locally else ""
    process = subprocess.Popen(
        command(port, auth), cwd=PAGE.parent, env=environment(store, signing), stdout=subprocess.DEVNULL
    )
    try:
        _wait_until_up(process, port)
        sys.stdout.write(f"The leaderboard of {store} is at http://{ADDRESS}:{port} (Ctrl-C ends it).\n")
        sys.stdout.flush()
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command(port: int, auth: Auth | None = None) -> list[str]:
    """The command line of the page. Everything but address and port stands in .streamlit/config.toml beside it."""
    # -P: the folder that the page runs in must not shadow installed modules.
    run = [sys.executable, "-P", "-m", "streamlit", "run", str(PAGE)]
    run += [f"--server.address={ADDRESS}", f"--server.port={port}"]
    if auth is not None:
        # Whoever shares the page puts a proxy in front, under the name to which the provider sends people back.
        hosts = dict.fromkeys((ADDRESS, "localhost", auth.host))
        run += [f"--secrets.files={auth.file}", *(f"--server.allowedHosts={host}" for host in hosts)]
    return run


def environment(store: Path, signing: str = "") -> dict[str, str]:
    """The page's environment: this one's, the store, and no Streamlit setting that would open it to other machines."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    inherited = [kept["PYTHONPATH"]] if kept.get("PYTHONPATH") else []
    path = os.pathsep.join([str(PAGE.parent.parent), *inherited])
    shown = bucket_url(store) or str(store.resolve())
    return {**kept, "PAREDOWN_STORE": shown, "PAREDOWN_SIGNING": signing, "PYTHONPATH": path}


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise BadInput(
                f"Port {port} on {ADDRESS} cannot be used ({error.strerror}): name another one with --port."
            ) from error


def _wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    last = time.monotonic() + START_SECONDS
    while time.monotonic() < last and process.poll() is None:
        try:
            with urlopen(f"http://{ADDRESS}:{port}/_stcore/health", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
