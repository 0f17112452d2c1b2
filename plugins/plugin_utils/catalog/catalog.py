# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flag catalogs: which options an engine's command line has in which version, and what became of the others.

The data is written by ``tools/catalog`` from the parsers in the engines' published wheels. Everything here is a
function from values to values; ``files`` reads the files.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import Finding, finding
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog import dotted
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog import option as catalog_option
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.combinations import Combination
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.option import (
    Option,
    kebab,
    read_value,
    snake,
    to_argv,
)
from ansible_collections.fullrank.serving.plugins.plugin_utils.catalog.versions import InvalidVersion, Version

__all__ = ["Catalog", "Checked", "History", "Option", "VersionCatalog", "argument_parser", "to_argv"]


SHOWN = 8
"""Choices of an option in one message: all of few, otherwise the nearest, or the first."""


@dataclass(frozen=True)
class Migration:
    """What to write instead of a spelling that is gone, deprecated, or never was.

    becomes: option → value, None standing for the value as it was written; empty when nothing takes its place.
    note: an explanation for people, empty when there is none. source: where this is written upstream.
    """

    becomes: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    source: str = ""
    effect: bool = True
    """False where the option did nothing any more before it went: it can be left out for whoever wrote it."""

    def __str__(self) -> str:
        parts = [
            kebab(name) + ("" if value is None else f" {catalog_option.text(value)}")
            for name, value in self.becomes.items()
        ]
        return " and ".join(parts)


@dataclass(frozen=True)
class History:
    """One spelling over all versions of the catalog.

    until is empty while the newest version has it; both are empty if none has it. successor: what to write instead.
    """

    spelling: str
    since: str
    until: str
    successor: str
    note: str


@dataclass(frozen=True)
class Checked:
    """What `VersionCatalog.check` returns: canonical options with values in their own form, and every finding."""

    options: list[tuple[Option, Any]]
    findings: list[Finding]


@dataclass(frozen=True)
class Run:
    """One option as it was, unchanged, in the versions with these positions (both included)."""

    first: int
    last: int
    option: Option


@dataclass(frozen=True, eq=False)
class Catalog:
    """All known versions of one engine's command line."""

    engine: str
    versions: tuple[str, ...]
    runs: tuple[Run, ...]
    migrations: Mapping[str, Migration]
    abbreviations: bool = True
    """Whether the engine's parser takes unique prefixes for the whole name (argparse does, click does not)."""
    combinations: tuple[Combination, ...] = ()
    """What each version refuses after parsing, or is known to fail with."""

    @classmethod
    def from_data(cls, engine: str, data: Mapping[str, Any], combinations: tuple[Combination, ...] = ()) -> Catalog:
        """Read the content of a catalog file.

        Keys: ``versions`` (ascending), ``options`` (records of `Option` fields plus since/until; `_expand` describes what
        a left out field means), ``migrations`` (spelling → becomes, note, source), ``abbreviations`` (default true).
        """
        versions = tuple(data["versions"])
        position = {version: n for n, version in enumerate(versions)}
        runs = tuple(
            Run(position[row["since"]], position[row.get("until", versions[-1])], _expand(row))
            for row in data["options"]
        )
        migrations = {spelling: Migration(**row) for spelling, row in data.get("migrations", {}).items()}
        return cls(engine, versions, runs, migrations, data.get("abbreviations", True), combinations)

    @cached_property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Spelling → positions of the first and the last version that has it."""
        spans: dict[str, tuple[int, int]] = {}
        for run in self.runs:
            for spelling in run.option.spellings:
                first, last = spans.get(spelling, (run.first, run.last))
                spans[spelling] = (min(first, run.first), max(last, run.last))
        return spans

    def last_successor(self, name: str) -> str:
        """What the last version that had an option named as its successor; empty if it named none."""
        runs = [run for run in self.runs if name in run.option.spellings]
        return max(runs, key=lambda run: run.last).option.successor if runs else ""

    def history(self, spelling: str) -> History:
        """Since when, until when, and what came after; accepts snake case too."""
        name = kebab(spelling)
        first, last = self.spans.get(name, (-1, -1))
        known = first >= 0
        migration = self.migrations.get(name, Migration())
        return History(
            spelling=name,
            since=self.versions[first] if known else "",
            until=self.versions[last] if known and last < len(self.versions) - 1 else "",
            successor=str(migration) or self.last_successor(name),
            note=migration.note,
        )

    def at(self, version: str, where: str = "engine_version") -> VersionCatalog:
        """The command line of one version, or of the nearest known one with a finding that names it.

        Newer than known: the newest. Between known ones: the next lower. Older than the oldest, or no version at all:
        a failure. A leading ``v`` and a local part (``0.32.0+cpu``) do not count. where: the variable the version was
        set in.
        """
        if (version, where) not in self._found_for:
            self._found_for[version, where] = self._nearest(version, where)
        return self._found_for[version, where]

    @cached_property
    def _found_for(self) -> dict[tuple[str, str], VersionCatalog]:
        """Each host of a deployment looks for the same version, and its tables take a while."""
        return {}

    def _nearest(self, version: str, where: str) -> VersionCatalog:
        try:
            requested = Version(Version(version).public)
        except InvalidVersion:
            return self._instead(len(self.versions) - 1, version, where, "unreadable", "is not a version number")
        known = [Version(each) for each in self.versions]
        lower = [position for position, each in enumerate(known) if each <= requested]
        if not lower:
            return self._instead(0, version, where, "too-old", "is older than every version in the catalog")
        nearest = lower[-1]
        if known[nearest] == requested:
            return self._take(nearest, version)
        if nearest == len(known) - 1:
            return self._instead(nearest, version, where, "newer", "is newer than every version in the catalog")
        return self._instead(nearest, version, where, "unknown", "is not in the catalog")

    def _instead(self, position: int, requested: str, where: str, what: str, why: str) -> VersionCatalog:
        known = f"{self.versions[0]} to {self.versions[-1]}"
        message = f"{self.engine} {requested} {why} ({known}); {self.versions[position]} is used instead"
        usable = what in ("newer", "unknown")
        newer = "take a newer release of the collection, or run `make catalogs` in a checkout"
        remedy = newer if usable else f"write a version of {known}"
        note = finding("warn" if usable else "fail", f"engine-version-{what}", where, message, remedy)
        return self._take(position, requested, note)

    def _take(self, position: int, requested: str, *findings: Finding) -> VersionCatalog:
        options = tuple(run.option for run in self.runs if run.first <= position <= run.last)
        return VersionCatalog(self, self.versions[position], requested, position, options, findings)


def _expand(row: Mapping[str, Any]) -> Option:
    """Fill in what a record leaves out: off (of a switch, ``--no-`` and its name), spellings (name and off), dest."""
    known = {f.name for f in fields(Option)}
    record = {key: value for key, value in row.items() if key in known}
    name, kind = record["name"], record.get("kind", "value")
    off = ["--no-" + name.removeprefix("--")] if kind == "switch" else []
    record["off"] = tuple(record.get("off", off))
    record["spellings"] = tuple(record.get("spellings", [] if kind == "positional" else [name, *record["off"]]))
    record["choices"] = tuple(record.get("choices", ()))
    record.setdefault("dest", snake(name))
    if kind == "flag":
        record.setdefault("default", False)
    if kind == "json":
        record.setdefault("type", "json")
    return Option(**record)


def _written(targets: list[tuple[Option, Any]]) -> str:
    """Options with their values for a message, a mere flag without one."""
    written = [(option, value) for option, value in targets if value is not None]
    return " and ".join(o.name if v is True else f"{o.name} {catalog_option.text(v)}" for o, v in written) or "nothing"


@dataclass(frozen=True, eq=False)
class VersionCatalog:
    """The command line of one version."""

    catalog: Catalog
    version: str
    """The version whose options these are."""
    requested: str
    """The requested version, as it was written."""
    position: int
    options: tuple[Option, ...]
    findings: tuple[Finding, ...]
    """Findings about the version itself; empty when it is known exactly."""

    @property
    def exact(self) -> bool:
        """Whether the requested version itself is in the catalog."""
        return not self.findings

    @cached_property
    def _by_spelling(self) -> dict[str, Option]:
        by = {option.name: option for option in self.options}
        for option in self.options:
            by.update(dict.fromkeys(option.spellings, option))
        return by

    @cached_property
    def _by_dest(self) -> dict[str, Option]:
        by: dict[str, list[Option]] = {}
        for option in self.options:
            by.setdefault(option.dest, []).append(option)
        return {dest: found[0] for dest, found in by.items() if len(found) == 1}

    def lookup(self, name: str) -> Option | None:
        """The option for a spelling (``--tp-size``), its YAML form (``tp_size``), or the engine's dest."""
        spellings = (name, kebab(name), "-" + name.lstrip("-"))  # the last one for -tp and its like
        found = (self._by_spelling[spelling] for spelling in spellings if spelling in self._by_spelling)
        return next(found, None) or self._by_dest.get(snake(name))

    def check(self, args: Mapping[str, Any], where: str) -> Checked:
        """Check options in the engine's own words and bring them into canonical form, in the order of ``args``.

        args: name in any spelling → value; true gives a flag, false leaves it out (a switch is written ``--no-x``),
        null leaves any option out, whatever its name; a name with dots is a part of an option
        (`dotted`). where: the variable they were set in, for the findings.
        """
        options: list[tuple[Option, Any]] = []
        whole, findings = dotted.merged(args, self.lookup, where)
        set_by: dict[str, str] = {}
        for written, value in whole.items():
            if value is None:
                continue
            wanted, notes = self._resolve(str(written), value, f"{where}.{written}")
            findings += notes
            for option, raw in wanted:
                try:
                    final = read_value(option, raw)
                except ValueError as wrong:
                    findings.append(self._wrong_value(option, raw, str(wrong), f"{where}.{written}"))
                    continue
                if option.name in set_by:
                    message = f"{option.name} is set twice: by {set_by[option.name]} and by {written}"
                    findings.append(
                        finding("fail", "option-set-twice", f"{where}.{written}", message, "leave one of them out")
                    )
                elif final is not None:
                    set_by[option.name] = str(written)
                    options.append((option, final))
        return Checked(options, findings)

    def _resolve(self, written: str, value: Any, where: str) -> tuple[list[tuple[Option, Any]], list[Finding]]:
        """What was written → the options of this version with the same meaning, and the findings about it."""
        option = self.lookup(written)
        name = kebab(written)
        if notes := self._without_effect(name, option, where):
            return [], notes
        if option and option.deprecated != "fatal":
            if name in option.off:
                value = catalog_option.negated(value)
            return [(option, value)], self._deprecation(option, where)
        migration = self.catalog.migrations.get(option.name if option else name, Migration())
        targets = self._translate(migration, value)
        if targets:
            instead = _written(targets)
            message = f"{self._what_happened(name, option)}; {instead} is written instead"
            return targets, [finding("warn", "option-renamed", where, message, f"write {instead}")]
        prefixed = {o.name: (s, o) for s, o in self._by_spelling.items() if s.startswith(name)}
        if self.catalog.abbreviations and not option and not migration.note and len(prefixed) == 1:
            ((spelling, found),) = prefixed.values()
            off = spelling in found.off
            message = f"{name} is only an abbreviation of {spelling}; the next option that begins so will break it"
            remedy = f"write {snake(spelling) if off else found.key}"
            notes = [finding("warn", "option-abbreviated", where, message, remedy)]
            return [(found, catalog_option.negated(value) if off else value)], notes
        return [], [self._refusal(name, option, migration, list(prefixed), where)]

    def _without_effect(self, name: str, option: Option | None, where: str) -> list[Finding]:
        """A warning about an option that did something once, and nothing in this version."""
        name = option.name if option else name
        migration = self.catalog.migrations.get(name)
        first, _last = self.catalog.spans.get(name, (self.position + 1, 0))
        if not migration or migration.effect or first > self.position or (option and not option.deprecated):
            return []
        message = f"{name} has no effect in {self.catalog.engine} {self.version}: it is left out"
        return [finding("warn", "option-without-effect", where, message, migration.note)]

    def _translate(self, migration: Migration, value: Any) -> list[tuple[Option, Any]]:
        """The successors with their values, over several renamings; empty if one does not end in this version."""
        targets: list[tuple[Option, Any]] = []
        for name, fixed in migration.becomes.items():
            option = self.lookup(name)
            switched_off = catalog_option.negated(value) is True
            new_value = value if fixed is None else None if switched_off else fixed
            if option is None or option.deprecated == "fatal":
                further = self._translate(self.catalog.migrations.get(name, Migration()), new_value)
                if not further:
                    return []
                targets += further
            else:
                targets.append((option, new_value))
        return targets

    def _what_happened(self, name: str, option: Option | None) -> str:
        engine = f"{self.catalog.engine} {self.version}"
        if option:
            return f"{engine} refuses the deprecated {name}"
        first, last = self.catalog.spans.get(name, (-1, -1))
        if first < 0:
            return f"{engine} has no option {name}"
        if last < self.position:
            return f"{engine} no longer has {name} (last in {self.catalog.versions[last]})"
        if first > self.position:
            return f"{engine} does not yet have {name} (first in {self.catalog.versions[first]})"
        return f"{engine} does not have {name}, although versions before and after it do"

    def _refusal(
        self, name: str, option: Option | None, migration: Migration, prefixed: list[str], where: str
    ) -> Finding:
        first, _unused = self.catalog.spans.get(name, (-1, -1))
        code = "option-unknown" if first < 0 else "option-too-new" if first > self.position else "option-removed"
        spellings = [s for s in self._by_spelling if s.startswith("--")]
        nearest = prefixed[:5] or [
            self._by_spelling[s].name for s in difflib.get_close_matches(name, spellings, n=5, cutoff=0.6)
        ]
        older = [old for old, m in self.catalog.migrations.items() if name in m.becomes and old in self._by_spelling]
        remedy = "leave it out" if code == "option-removed" else ""
        if migration.note:
            remedy = migration.note
        elif migration.becomes:
            remedy = f"write {migration}"
        elif code == "option-removed" and self.catalog.last_successor(name):
            remedy = f"its last help text names {self.catalog.last_successor(name)}"
        elif code == "option-too-new":
            remedy = (
                f"this version calls it {older[0]}" if older else f"use version {self.catalog.versions[first]} or newer"
            )
        elif code == "option-unknown":
            remedy = f"nearest: {', '.join(dict.fromkeys(nearest))}" if nearest else "no option has a name like it"
        return finding("fail", code, where, self._what_happened(name, option), remedy)

    def _deprecation(self, option: Option, where: str) -> list[Finding]:
        if not option.deprecated:
            return []
        migration = self.catalog.migrations.get(option.name, Migration())
        instead = str(migration) or option.successor
        message = f"{option.name} is deprecated in {self.catalog.engine} {self.version} and will go"
        remedy = migration.note or (f"write {instead}" if instead else "leave it out if you can")
        return [finding("warn", "option-deprecated", where, message, remedy)]

    def _wrong_value(self, option: Option, value: Any, wrong: str, where: str) -> Finding:
        message = f"{option.name} of {self.catalog.engine} {self.version}: {wrong}"
        if not option.choices:
            allowed = "true or false" if option.kind in ("flag", "switch") else option.type.replace("|", " or ")
            return finding("fail", "option-type", where, message, f"allowed: {allowed}")
        choices = [str(one) for one in option.choices]
        near = difflib.get_close_matches(str(value), choices, n=3, cutoff=0.6)
        shown = near if near and len(choices) > SHOWN else choices[:SHOWN]
        more = f" and {len(choices) - len(shown)} more" if len(choices) > len(shown) else ""
        return finding("fail", "option-choice", where, message, f"allowed: {', '.join(shown)}{more}")


def argument_parser(version_catalog: VersionCatalog) -> Any:
    """A parser (argparse) over a version's catalog, for tests and for checking a finished command line."""
    return catalog_option.argument_parser(version_catalog.options)
