"""The licences of what a variant was made of and measured on, as the sweep's declaration holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leaderboard.format import without_folders

NOT_STATED = "not stated"
NOT_RECORDED = "not recorded"
OLDER = f"{NOT_RECORDED}: an older paredown declared this sweep; running it again records them and repeats nothing"


def licence_rows(body: Mapping[str, Any], recipe_id: str) -> list[tuple[str, str, str, str]]:
    """(part, name, licence, who said so), the model's parts first, then the data it was measured on."""
    variant: Mapping[str, Any] = next((v for v in body["variants"] if v["recipe_id"] == recipe_id), {})
    stated = body.get("licences")
    if stated is None or "licences" not in variant:
        # Before licences were recorded one by one, what the sweep file said of the base was.
        rows = [
            ("base model", without_folders(str(variant.get("model", ""))), *_said(variant.get("licence"), "sweep file"))
        ]
        rows.append(("teachers, published models and training data", "", OLDER, ""))
    else:
        rows = [_row(stated[place]) for place in variant["licences"]]
    for task in body["tasks"]:
        told = task.get("licences")
        if told is None:
            rows.append(("task data", str(task["name"]), *_said(task.get("licence"), "sweep file")))
        else:
            rows += [_row(each) for each in told]
    return rows


def licences_text(rows: Sequence[tuple[str, str, str, str]]) -> str:
    """Every licence once, and how many parts state none."""
    silent = sum(is_silent(licence) for _, _, licence, _ in rows)
    stated = dict.fromkeys(licence for _, _, licence, _ in rows if not is_silent(licence))
    return ", ".join([*stated, *([f"{silent} of {len(rows)} not stated"] if silent else [])])


def is_silent(licence: str) -> bool:
    """Whether that is no licence, but says that the store knows of none."""
    return licence == NOT_STATED or licence.startswith(NOT_RECORDED)


def _row(each: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return str(each["part"]), without_folders(str(each["name"])), *_said(each["licence"], each["said_by"])


def _said(licence: str | None, by: str | None) -> tuple[str, str]:
    return (str(licence), str(by)) if licence else (NOT_STATED, "")
