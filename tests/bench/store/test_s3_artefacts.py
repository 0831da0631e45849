"""Artefacts in a bucket: there whole or not there, whenever an upload was cut off and whatever was lost since."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.artefacts import COMPLETE, Artefacts
from bench.errors import BadInput
from bench.store.bucket import Bucket
from bench.store.folder import Folder, open_folder
from bench.store.handed_out import copy_artefact, new_folder
from tests.bench.store.s3 import Proxy
from tests.bench.test_artefacts import contents, publish

pytest.importorskip("obstore")
pytest.importorskip("moto")

URL = "s3://results/some/store"


def test_artefacts_go_up_and_come_down_whole(proxy: Proxy, tmp_path: Path) -> None:
    folder = open_folder(URL, create=True)
    mine = folder.open_artefacts()
    name = publish(mine, "a", 3_000_000)
    proxy.faults += [("PUT", "answer lost"), ("PUT", "slow down")]
    other = publish(mine, "b")
    node = Artefacts(tmp_path / "node", bucket=folder.artefacts_url)
    proxy.faults += [("GET", "half an answer"), ("GET", "slow down"), ("GET", "answer lost")]
    assert name in node
    assert contents(node.path(name)) == contents(mine.path(name))
    assert contents(node.path(other)) == contents(mine.path(other))
    assert "c" * 64 not in node
    with pytest.raises(BadInput, match="is not in s3://results/some/store/artefacts"):
        node.path("c" * 64)


def test_an_upload_that_was_cut_off_is_no_artefact(proxy: Proxy, tmp_path: Path) -> None:
    folder = open_folder(URL, create=True)
    name = publish(folder.open_artefacts(), "a")
    folder.place.remove(f"artefacts/{name}/.complete")
    node = Artefacts(tmp_path / "node", bucket=folder.artefacts_url)
    assert name not in node
    with pytest.raises(BadInput, match="run the sweep again"):
        node.path(name)


class KilledError(Exception):
    """What stands for the end of a process."""


def cut_off(folder: Folder, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish an artefact from a process that is killed when the first of its files is up."""

    send, sent = Bucket.send, list[str]()

    def send_one(self: Bucket, path: Path, name: str) -> None:
        if sent:
            raise KilledError
        send(self, path, name)
        sent.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "send", send_one)
        with pytest.raises(KilledError):
            publish(folder.open_artefacts(), name)


def test_a_build_that_was_killed_while_it_uploaded_is_missing_until_it_is_built_again(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder(URL, create=True)
    whole, half = publish(folder.open_artefacts(), "a"), publish(Artefacts(tmp_path / "aside"), "b")
    cut_off(folder, "b", monkeypatch)
    assert folder.place.folders("artefacts") == sorted((whole, half))
    assert folder.open_artefacts().missing({whole, half}) == {half}
    assert publish(folder.open_artefacts(), "b") == half
    assert folder.open_artefacts().missing({whole, half}) == set()
    assert contents(Artefacts(tmp_path / "node", bucket=folder.artefacts_url).path(half)).keys() == {
        "config.json",
        "model.safetensors",
        "paredown.json",
    }


def test_a_rebuild_that_was_killed_while_it_uploaded_is_missing_still(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder(URL, create=True)
    name = publish(folder.open_artefacts(), "a")
    for file in folder.place.names(f"artefacts/{name}"):
        folder.place.remove(f"artefacts/{name}/{file}")
    folder.place.remove(f"artefacts/{name}/{COMPLETE}")
    cut_off(folder, "a", monkeypatch)
    assert folder.open_artefacts().missing({name}) == {name}


def test_an_artefact_of_which_a_file_was_lost_is_missing_and_comes_back(proxy: Proxy, tmp_path: Path) -> None:
    folder = open_folder(URL, create=True)
    name = publish(folder.open_artefacts(), "a")
    folder.place.remove(f"artefacts/{name}/model.safetensors")
    node = Artefacts(tmp_path / "node", bucket=folder.artefacts_url)
    assert name not in node
    assert node.missing({name}) == {name}
    with pytest.raises(BadInput, match="run the sweep again"):
        node.path(name)
    assert publish(Artefacts(tmp_path / "elsewhere", bucket=folder.artefacts_url), "a") == name
    assert node.missing({name}) == set()
    assert node.path(name).is_dir()


def test_a_file_that_somebody_has_put_beside_costs_one_more_question_and_nothing_else(proxy: Proxy) -> None:
    folder = open_folder(URL, create=True)
    name = publish(folder.open_artefacts(), "a")
    folder.place.replace(f"artefacts/{name}/notes.txt", b"mine")
    proxy.seen.clear()
    assert folder.open_artefacts().missing({name}) == set()
    assert len(proxy.seen) == 2


def test_what_is_missing_is_asked_in_one_request_however_many_there_are(proxy: Proxy) -> None:
    folder = open_folder(URL, create=True)
    artefacts = folder.open_artefacts()
    names = {publish(artefacts, each) for each in "abcdef"}
    proxy.seen.clear()
    assert artefacts.missing(names | {"c" * 64}) == {"c" * 64}
    assert [method for method, _ in proxy.seen] == ["GET"]
    proxy.seen.clear()
    assert artefacts.missing(set()) == set()
    assert proxy.seen == []


def test_an_artefact_is_handed_out_from_a_bucket(proxy: Proxy, tmp_path: Path) -> None:
    """A copy that this node keeps is checked too: it may have been changed since it came."""
    folder = open_folder(URL, create=True)
    name = publish(folder.open_artefacts(), "a", 3_000_000)
    node = Artefacts(tmp_path / "node", bucket=folder.artefacts_url)
    proxy.faults += [("GET", "half an answer"), ("GET", "slow down")]
    with new_folder(tmp_path / "out") as draft:
        copy_artefact(node, name, draft, "paredown run x")
    assert contents(tmp_path / "out") == contents(node.path(name))
    (tmp_path / "node" / name / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="has other bytes"), new_folder(tmp_path / "other") as draft:
        copy_artefact(node, name, draft, "paredown run x")
    folder.place.remove(f"artefacts/{name}/.complete")
    elsewhere = Artefacts(tmp_path / "elsewhere", bucket=folder.artefacts_url)
    with pytest.raises(BadInput, match="is not in the store any more"), new_folder(tmp_path / "other") as draft:
        copy_artefact(elsewhere, name, draft, "paredown run x")
    assert not (tmp_path / "other").exists()
