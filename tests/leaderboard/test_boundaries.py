"""What the page must not do: import the heavy half, open the writer's database, listen to other machines."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

import pytest

from bench.errors import BadInput
from leaderboard import PAGE
from leaderboard.serve import command, environment, serve
from tests.browser.served import SERVE, free_port

HIDDEN = ("torch", "ray", "transformers", "evaluate", "cluster")
IMPORT_ALL = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in sys.argv[1:]:
            raise ImportError(name + ' is hidden')
sys.meta_path.insert(0, Hidden())
{}
"""
OF_PAGES = "charts comparison controls details downloads examples grid layer_map reading running serve timeline "
OF_PAGES += "review.drawing review.writing signing"
OF_COMMAND = "against contests drawing judging report rows table where wording "  # wanted where no page is installed
OF_COMMAND += "review.case review.document review.record review.words sign_in"


def test_importing_the_page_needs_neither_torch_nor_ray() -> None:
    _import(OF_PAGES, HIDDEN)


def test_the_command_needs_neither_streamlit_nor_plotly() -> None:
    _import(OF_COMMAND, (*HIDDEN, "streamlit", "plotly"))


def _import(modules: str, hidden: Sequence[str]) -> None:
    wanted = ", ".join(f"leaderboard.{name}" for name in modules.split())
    subprocess.run([sys.executable, "-c", IMPORT_ALL.format(f"import {wanted}"), *hidden], check=True, timeout=150)


def test_the_writer_s_database_is_never_named() -> None:
    for file in PAGE.parent.rglob("*.py"):
        assert "results.duckdb" not in file.read_text(encoding="utf-8"), file
        assert ".database" not in file.read_text(encoding="utf-8"), file


def test_no_icon_font_and_no_foreign_address_is_asked_for() -> None:
    for file in PAGE.parent.rglob("*.*"):
        if file.suffix in (".py", ".js", ".css", ".toml"):
            text = file.read_text(encoding="utf-8")
            assert ":material/" not in text, file
            assert "https://" not in text, file


def test_the_configuration_is_closed() -> None:
    found = tomllib.loads((PAGE.parent / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert found["server"]["address"] == "127.0.0.1"
    assert found["server"]["headless"] is True
    assert found["server"]["allowedHosts"] == ["127.0.0.1", "localhost"]
    assert found["server"]["enableCORS"] is True
    assert found["server"]["enableXsrfProtection"] is True
    assert found["browser"]["gatherUsageStats"] is False
    assert found["client"]["showErrorDetails"] == "none"
    assert found["client"]["toolbarMode"] == "viewer"
    assert found["runner"]["postScriptGC"] is False


def test_the_environment_cannot_open_the_page_to_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMLIT_SERVER_ENABLE_CORS", "false")
    found = environment(tmp_path)
    assert not [name for name in found if name.startswith("STREAMLIT_")]
    assert found["PAREDOWN_STORE"] == str(tmp_path)
    assert "--server.address=127.0.0.1" in command(8501)


def test_a_port_in_use_is_one_sentence(store: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInput, match=r"Port \d+ on 127.0.0.1 cannot be used .*--port"):
            serve(store, taken.getsockname()[1])


def test_ctrl_c_ends_the_page_with_0(store: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(store), str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"The leaderboard of {store} is at http://127.0.0.1:{port} (Ctrl-C ends it).\n"
    assert urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=60).status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
