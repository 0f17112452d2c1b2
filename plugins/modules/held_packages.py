#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the fullrank authors
from __future__ import annotations

DOCUMENTATION = r"""
module: held_packages
short_description: Packages in exact versions that belong together, installed and held in one step
version_added: 0.1.0
description:
  - Resolves each package's exact version from the repositories of the node, installs all of them together, and holds them.
  - What is installed and as wanted stays; then no repository is read and the module costs little. A
    newer version in the repository is taken with O(state=latest) only.
  - Holds are released for the change and set again after it. When it fails, the versions of before are installed and held
    again, and the module fails with the package manager's output.
  - Where DKMS could not build a kernel module, the message quotes the errors of its log, and the log is kept in
    C(/var/log/fullrank), because going back removes it.
options:
  state:
    description:
      - V(present) installs what is missing or of another version.
      - V(latest) also takes the newest version of a branch that is installed already.
      - V(absent) removes every installed package that O(packages) names or O(family) matches, with its configuration.
    type: str
    choices: [present, latest, absent]
    default: present
  packages:
    description: The packages, in the order in which their versions are settled.
    type: list
    elements: dict
    default: []
    suboptions:
      names:
        description: Alternative names of one package; the first that offers the version is taken.
        type: list
        elements: str
        required: true
      version:
        description:
          - An exact version, or the beginning of one at a full part, such as V(580) for the newest of that branch.
          - V(same) is the upstream version of the first package that has a version here.
          - Empty takes what is installed, otherwise the newest.
        type: str
        default: ""
      where:
        description: What a message names when there is no such version, usually the variable that holds it.
        type: str
        default: packages
      remedy:
        description: What to do then, when it is something else than choosing another version.
        type: str
        default: ""
      hold:
        description: Whether it is held.
        type: bool
        default: true
      first:
        description: Install it before the others, as what pins them.
        type: bool
        default: false
      optional:
        description: Go without it where no repository has it.
        type: bool
        default: false
      at_least:
        description: Refuse an older version.
        type: str
        default: ""
  family:
    description:
      - A regular expression of names of packages that must all have the upstream version of the first package with a
        version. Dependencies that it matches are brought to that version and held too.
    type: str
    default: ""
  sources:
    description:
      - Source files (deb822) of the repositories that the packages come from. Before a repository is read, the lists are
        read again, and these must be readable and signed with the right key; apt alone would go on with old lists.
    type: list
    elements: path
    default: []
  refused:
    description: A regular expression of names of packages that must not come along as dependencies.
    type: str
    default: ""
  unresolved_ok:
    description: In check mode, report that packages would be installed where they cannot be resolved yet, because their
      repository would be added by a task before.
    type: bool
    default: false
  lock_timeout:
    description: Seconds to wait for another package manager to end.
    type: int
    default: 300
attributes:
  check_mode:
    description:
      - Simulates with the package manager. Lists of repositories are not read, so that on a node whose lists were never
        read only the names of the packages can be reported.
    support: full
  diff_mode:
    description: Shows names with version and whether they are held, before and after.
    support: full
notes:
  - Run on Debian. For dnf only the command lines are tested.
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: A driver and its fabric manager, in one version
  fullrank.serving.held_packages:
    packages:
      - {names: [nvidia-open-580, nvidia-open], version: 580.95.05, where: nvidia_driver_version}
      - {names: [nvidia-fabricmanager, nvidia-fabricmanager-580], version: same}
    family: ^(lib)?nvidia-

- name: Upgrade within the branch
  fullrank.serving.held_packages:
    state: latest
    packages:
      - {names: [docker-ce], version: "28"}
"""

RETURN = r"""
versions:
  description: The wanted packages and the versions that they have now, or would have.
  returned: O(state) is not V(absent)
  type: dict
  sample: {nvidia-open: 580.95.05-1, nvidia-fabricmanager: 580.95.05-1}
version:
  description: The upstream version of the first package with a version.
  returned: O(state) is not V(absent)
  type: str
  sample: 580.95.05
held:
  description: The packages of these that are held now, or would be; in check mode without dependencies.
  returned: O(state) is not V(absent)
  type: list
  elements: str
removed:
  description: The packages that were removed, or would be.
  returned: always
  type: list
  elements: str
build_log:
  description: Where the whole log of a kernel module that could not be built is kept.
  returned: failure of such a build
  type: str
  sample: /var/log/fullrank/nvidia-current-open-550.163.01-make.log
"""

import re
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fullrank.serving.plugins.module_utils.common import files
from ansible_collections.fullrank.serving.plugins.module_utils.common.findings import failures
from ansible_collections.fullrank.serving.plugins.module_utils.packages import dkms, plan
from ansible_collections.fullrank.serving.plugins.module_utils.packages.manager import Apt, Dnf, Outlook, PackageError
from ansible_collections.fullrank.serving.plugins.module_utils.packages.versions import Candidate

KEPT_LOGS = Path("/var/log/fullrank")
MOST_ROUNDS = 5  # of asking the package manager again after a dependency was brought to the family's version

ENTRY: dict[str, dict[str, Any]] = {
    "names": {"type": "list", "elements": "str", "required": True},
    "version": {"type": "str", "default": ""},
    "where": {"type": "str", "default": "packages"},
    "remedy": {"type": "str", "default": ""},
    "hold": {"type": "bool", "default": True},
    "first": {"type": "bool", "default": False},
    "optional": {"type": "bool", "default": False},
    "at_least": {"type": "str", "default": ""},
}


class Change:
    """From what is installed and held to what is wanted."""

    def __init__(self, module: AnsibleModule, manager: Apt | Dnf) -> None:
        self.module = module
        self.manager = manager
        self.params: dict[str, Any] = module.params
        self.installed = manager.installed()
        self.held = manager.held()

    def fail(self, problems: list[dict[str, Any]]) -> None:
        self.module.fail_json(msg=failures(problems), findings=problems)

    def present(self) -> None:
        upgrade = self.params["state"] == "latest"
        try:
            targets = plan.settle(self.params["packages"], self.installed, self.offered, upgrade)
        except PackageError as error:
            self.module.fail_json(msg=f"nothing was changed: {error}")
        if targets.problems:
            if self.module.check_mode and (self.params["unresolved_ok"] or self.manager.unread()):
                self.predict([one["data"]["names"] for one in targets.problems])
            self.fail(targets.problems)
        differ = {name: new for name, new in targets.versions.items() if self.installed.get(name) != new}
        try:
            requested, outlook = self.with_family(differ, targets)
        except PackageError as error:
            self.module.fail_json(msg=f"these packages cannot be installed together, nothing was changed: {error}")
        unwanted = [
            name for name in outlook.install if self.params["refused"] and re.search(self.params["refused"], name)
        ]
        if unwanted:
            self.module.fail_json(msg=f"{', '.join(unwanted)} would come along and must not; nothing was changed")
        after = {
            name: version
            for name, version in {**self.installed, **outlook.install}.items()
            if name not in outlook.remove
        }
        hold = {*targets.hold, *plan.members(after, self.params["family"], targets.leader)}
        if differ and not self.module.check_mode:
            released = self.install(requested, targets.first, hold)
            after = self.manager.installed()
            hold = {
                *targets.hold,
                *plan.members(after, self.params["family"], targets.leader),
                *released & after.keys(),
            }
        missing_holds = hold - (set() if differ else self.held)
        if missing_holds and not self.module.check_mode:
            self.manager.hold({name: after[name] for name in missing_holds})
        self.done(
            changed=bool(differ or hold - self.held),
            after=after,
            hold=hold,
            removed=list(outlook.remove),
            versions=targets.versions,
            version=targets.leader,
        )

    def predict(self, missing: list[list[str]]) -> None:
        """A check run that cannot know versions yet, because a repository is added or read by the real run first."""
        reason = (
            "from a repository that would be added first"
            if self.params["unresolved_ok"]
            else "by lists that would be read first"
        )
        rows = "".join(f"{' or '.join(names)}, {reason}\n" for names in missing)
        self.module.exit_json(
            changed=True, versions={}, version="", held=[], removed=[], diff={"before": "", "after": rows}
        )

    def offered(self, names: list[str]) -> list[Candidate]:
        """Ask the repositories, by fresh lists: reading them is no change of the node, but takes seconds."""
        if not self.module.check_mode:
            self.manager.refresh(self.params["sources"])
        return self.manager.offered(names)

    def with_family(self, differ: dict[str, str], targets: plan.Targets) -> tuple[dict[str, str], Outlook]:
        """What to request from the package manager, with dependencies of the family at its version; and what that does."""
        requested, mismatched = dict(differ), []
        rows: list[Candidate] = []
        for _unused in range(MOST_ROUNDS if differ else 0):
            outlook = self.manager.outlook(requested)
            mismatched = plan.mismatched(outlook.install, self.params["family"], targets.leader)
            # read once each: what is offered does not change in between
            rows.extend(self.manager.offered([name for name in mismatched if name not in {row.name for row in rows}]))
            mismatched = [name for name in mismatched if plan.follows(rows, name, targets.leader)]
            if not mismatched:
                return requested, outlook
            entries = [{**_plain_entry(name), "version": targets.leader} for name in mismatched]
            settled = plan.settle_by(entries, [], rows)
            if settled.problems:
                self.fail(settled.problems)
            requested.update(settled.versions)
        if mismatched:
            raise PackageError(f"{', '.join(mismatched)} would come in another version than {targets.leader}")
        return requested, Outlook()

    def install(self, requested: dict[str, str], first: list[str], hold: set[str]) -> set[str]:
        """Release holds, install, and restore the versions of before when that fails. Returns the packages that were held."""
        touched = {name for name in self.held if name in requested or name in hold or re.search(self.family, name)}
        if touched:
            self.manager.unhold(touched)
        try:
            ahead = {name: requested[name] for name in first if name in requested}
            if ahead:
                self.manager.install(ahead)
            self.manager.install(requested)
        except PackageError as error:
            quoted, log_copy = failed_build(error.output, KEPT_LOGS)
            state = self.roll_back(touched)
            message = f"{error}\n{quoted}{state}"
            self.module.fail_json(
                msg=message, rolled_back="again" in state, **({"build_log": log_copy} if log_copy else {})
            )
        return touched

    @property
    def family(self) -> str:
        return self.params["family"] or "$^"

    def roll_back(self, touched: set[str]) -> str:
        """Install the versions of before, remove what came new, hold again; returns how that went."""
        now = self.manager.installed()
        before = {name: old for name, old in self.installed.items() if now.get(name) != old}
        new = [name for name in now if name not in self.installed]
        try:
            if before:
                self.manager.install(before)
            if new:
                self.manager.remove(new)
        except PackageError as error:
            return f"going back failed too: {error}"
        finally:
            there = self.manager.installed()
            if touched & there.keys():
                self.manager.hold({name: there[name] for name in touched & there.keys()})
        return "the versions of before are installed and held again"

    def absent(self) -> None:
        named = {name for one in self.params["packages"] for name in one["names"]}
        gone = sorted(name for name in self.installed if name in named or re.search(self.family, name))
        if gone and not self.module.check_mode:
            self.manager.unhold(gone)
            try:
                self.manager.remove(gone)
            except PackageError as error:
                self.module.fail_json(msg=str(error))
        after = {name: version for name, version in self.installed.items() if name not in gone}
        self.done(changed=bool(gone), after=after, hold=set(), removed=gone)

    def done(self, changed: bool, after: dict[str, str], hold: set[str], removed: list[str], **result: Any) -> None:
        if self.module._diff:
            holds = (self.held - set(removed)) | hold
            result["diff"] = {"before": _listing(self.installed, self.held), "after": _listing(after, holds)}
        if "versions" in result:
            result["held"] = sorted(hold)
        self.module.exit_json(changed=changed, removed=removed, **result)


def failed_build(output: str, folder: Path) -> tuple[str, str]:
    """The errors of dkms with the lines of its log that explain them, and where the whole log is kept; "" twice where dkms built
    everything."""
    errors, log = dkms.complaints(output)
    if not errors:
        return "", ""
    lines, log_copy = [f"dkms: {'; '.join(errors)}"], ""
    try:
        text = Path(log).read_text(errors="replace") if log else ""
        lines += [f"  {line}" for line in dkms.telling(text)]
        if text:
            files.write(folder / dkms.kept_name(log), text, 0o644)
            log_copy = str(folder / dkms.kept_name(log))
            lines.append(f"All of its log is kept in {log_copy}.")
    except OSError as error:
        lines.append(f"Its log could not be kept: {error}")
    return "".join(f"{line}\n" for line in lines), log_copy


def _plain_entry(name: str) -> dict[str, Any]:
    return {**{option: rules.get("default") for option, rules in ENTRY.items()}, "names": [name], "where": name}


def _listing(versions: dict[str, str], held: set[str]) -> str:
    return "".join(
        f"{name} {version}{' (held)' if name in held else ''}\n" for name, version in sorted(versions.items())
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "latest", "absent"], "default": "present"},
            "packages": {"type": "list", "elements": "dict", "default": [], "options": ENTRY},
            "family": {"type": "str", "default": ""},
            "sources": {"type": "list", "elements": "path", "default": []},
            "refused": {"type": "str", "default": ""},
            "unresolved_ok": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    manager = Apt if module.get_bin_path("apt-get") else Dnf
    change = Change(module, manager(module.run_command, module.params["lock_timeout"]))
    if module.params["state"] == "absent":
        change.absent()
    change.present()


if __name__ == "__main__":
    main()
