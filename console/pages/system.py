"""`/system`: what this deployment is made of: storages, workers, plugins, settings and versions, and what is wrong.

Everybody sees whether a part can be used. Why not, the settings and the findings of `flask doctor` are for operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from console.access import current_actor, require
from recordings.access import Action, Role
from recordings.care.examination import Examination
from recordings.care.readiness import Readiness, Report
from recordings.catalogue.tables import HEAD

from .parts import Parts


@dataclass(frozen=True, slots=True)
class Checked:
    """A part that is looked at again and again. `state`: good, warning, bad or unknown; `age` in seconds."""

    name: str
    state: str
    sentence: str
    age: float | None


def add_routes(
    blueprint: Blueprint,
    parts: Parts,
    readiness: Callable[[], Readiness],
    examination: Callable[[], Examination],
    *,
    version: str,
) -> None:
    """The page, and the order to look at everything."""

    @blueprint.get("/system")
    def system() -> ResponseReturnValue:
        readiness().start()
        shown = _shown(parts, readiness().report())
        for_operators = _for_operators(parts, examination()) if shown["is_operator"] else {}
        return render_template("pages/system.html", **shown, **for_operators, version=version)

    @blueprint.post("/system/examine")
    @require(Role.OPERATOR)
    def examine() -> ResponseReturnValue:
        parts.people.audit.note(current_actor(), Action.EXAMINE, detail="the whole deployment")
        began = examination().begin()
        flash("Everything is being looked at." if began else "Everything is being looked at already.")
        return redirect(url_for(".system", _anchor="findings"), 303)


def _shown(parts: Parts, report: Report) -> dict[str, Any]:
    is_operator = current_actor().may(Role.OPERATOR)
    checked = list(_checked(parts, report))
    return {
        "is_operator": is_operator,
        "checked": checked if is_operator else [Checked(part.name, part.state, "", part.age) for part in checked],
        "workers": parts.workers.seen(),
        "database": "SQLite" if parts.database.sqlite else "Postgres",
        "schema": HEAD,
    }


def _checked(parts: Parts, report: Report) -> Iterator[Checked]:
    storages = {f"storage {number}": f"Storage {url}" for number, url in enumerate(parts.storages, 1)}
    known = [*report.problems, *report.warnings, *report.unknown, *report.ages]
    for part in (*storages, *sorted(set(known) - set(storages))):
        name, age = storages.get(part, part.capitalize()), report.ages.get(part)
        if part in report.problems:
            yield Checked(name, "bad", report.problems[part], age)
        elif part in report.warnings:
            yield Checked(name, "warning", report.warnings[part], age)
        else:
            yield Checked(name, "unknown" if age is None else "good", "", age)


def _for_operators(parts: Parts, examination: Examination) -> dict[str, Any]:
    by_settings = examination.by_settings()
    return {
        "plugins": parts.plugins.report(),
        "settings": [finding for finding in by_settings if (finding.part, finding.level) == ("settings", "ok")],
        "versions": [finding for finding in by_settings if (finding.part, finding.level) == ("versions", "ok")],
        "findings": [finding for finding in by_settings if finding.level != "ok"],
        "examined": examination.last,
        "examining": examination.runs,
    }
