"""A node's copies of artefacts: filled once, only with the right bytes, never taken from under a process that reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.artefact_cache import Cache
from bench.artefacts import Artefacts
from bench.errors import BadInput

SIZE = 1000


def publish(artefacts: Artefacts, name: str, size: int = SIZE) -> str:
    """An artefact with bytes of its own; nothing here loads it."""
    with artefacts.draft() as draft:
        (draft / "config.json").write_text(f'{{"name": "{name}"}}')
        (draft / "model.safetensors").write_bytes(name.encode().ljust(size, b"."))
        (draft / "paredown.json").write_bytes(b"")
        return artefacts.publish(draft)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def copies(cache: Path) -> set[str]:
    return {p.name for p in cache.iterdir() if not p.name.startswith(".lock-")}


def copy(folder: Path, draft: Path) -> None:
    shutil.copytree(folder, draft, dirs_exist_ok=True)


def test_a_copy_is_made_once_and_does_not_need_the_store_again(tmp_path: Path) -> None:
    store = Artefacts(tmp_path / "store")
    name = publish(store, "a")
    node = Artefacts(tmp_path / "store", tmp_path / "node")
    assert contents(node.path(name)) == contents(store.path(name))
    shutil.rmtree(tmp_path / "store")
    assert node.path(name) == tmp_path / "node" / name
    assert Artefacts(tmp_path / "store", tmp_path / "node").path(name).is_dir()
    assert copies(tmp_path / "node") == {name}


def test_wrong_bytes_are_no_copy(tmp_path: Path) -> None:
    name = publish(Artefacts(tmp_path / "store"), "a")
    with (tmp_path / "store" / name / "model.safetensors").open("r+b") as file:
        file.write(b"bad")
    node = Artefacts(tmp_path / "store", tmp_path / "node")
    with pytest.raises(BadInput, match="has the hash"):
        node.path(name)
    assert copies(tmp_path / "node") == set()
    with pytest.raises(BadInput, match="run the sweep again"):
        node.path("f" * 64)
    assert copies(tmp_path / "node") == set()


READER = """
import shutil, sys, time
from pathlib import Path
from bench.architecture import model_files
from bench.artefact_cache import Cache
store, cache, name, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
def fill(draft):
    with count.open("a") as file:
        file.write("x")
    time.sleep(0.3)
    for each in model_files(store / name):
        shutil.copyfile(store / name / each, draft / each)
copies = Cache(cache)
print(len((copies.path(name, fill) / "model.safetensors").read_bytes()), flush=True)
if len(sys.argv) > 5:
    time.sleep(600)
"""


def reader(tmp_path: Path, name: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", READER, str(tmp_path / "store"), str(tmp_path / "node"), name]
    return subprocess.Popen([*command, str(tmp_path / "count"), *more], stdout=subprocess.PIPE, text=True)


def test_of_many_processes_one_fetches(tmp_path: Path) -> None:
    name = publish(Artefacts(tmp_path / "store"), "a")
    readers = [reader(tmp_path, name) for _ in range(4)]
    assert [r.communicate(timeout=150)[0] for r in readers] == [f"{SIZE}\n"] * 4
    assert (tmp_path / "count").read_text() == "x"


def test_a_process_killed_while_it_fetches_leaves_the_work_to_the_next(tmp_path: Path) -> None:
    name = publish(Artefacts(tmp_path / "store"), "a")
    first = reader(tmp_path, name)
    deadline = time.monotonic() + 150
    while not (tmp_path / "count").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    first.communicate()
    assert reader(tmp_path, name).communicate(timeout=150)[0] == f"{SIZE}\n"


def test_the_least_recently_used_goes_but_none_in_use(tmp_path: Path) -> None:
    store = Artefacts(tmp_path / "store")
    names = [publish(store, each) for each in "abcd"]
    room = 3 * (SIZE + 100)
    for number, name in enumerate(names[:3]):
        Artefacts(tmp_path / "store", tmp_path / "node", most_bytes=room).path(name)
        used = tmp_path / "node" / name / ".used"
        os.utime(used, (1000 + number, 1000 + number))
    other = reader(tmp_path, names[0], "stay")
    assert other.stdout is not None
    assert other.stdout.readline() == f"{SIZE}\n"
    os.utime(tmp_path / "node" / names[0] / ".used", (1, 1))
    try:
        mine = Artefacts(tmp_path / "store", tmp_path / "node", most_bytes=room)
        mine.path(names[3])
        assert copies(tmp_path / "node") == {names[0], names[2], names[3]}
    finally:
        other.kill()
        other.communicate()
    tight = Artefacts(tmp_path / "store", tmp_path / "node", most_bytes=1)
    tight.path(names[1])
    assert copies(tmp_path / "node") == {names[1], names[3]}  # which this process and `mine` have in use
    del mine


def test_many_readers_in_too_little_room_always_see_whole_artefacts(tmp_path: Path) -> None:
    store = Artefacts(tmp_path / "store")
    names = [publish(store, each) for each in "abcdef"]
    wrong: list[str] = []

    def read(seed: int) -> None:
        for step in range(30):
            name = names[(seed * 7 + step * (seed + 1)) % len(names)]
            node = Artefacts(tmp_path / "store", tmp_path / "node", most_bytes=2 * SIZE)
            if contents(node.path(name)) != contents(store.path(name)):
                wrong.append(name)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_closed_is_free_to_go(tmp_path: Path) -> None:
    store = Artefacts(tmp_path / "store")
    one, two = publish(store, "a"), publish(store, "b")
    cache = Cache(tmp_path / "node", 1)
    cache.path(one, lambda draft: copy(store.path(one), draft))
    cache.close()
    cache.path(two, lambda draft: copy(store.path(two), draft))
    assert copies(tmp_path / "node") == {two}
