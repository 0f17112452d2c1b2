# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages in exact versions: what is asked of apt and dnf, what happens when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fullrank.serving.plugins.module_utils.packages import dkms
from ansible_collections.fullrank.serving.plugins.module_utils.packages.manager import Apt, Outlook, PackageError
from ansible_collections.fullrank.serving.plugins.module_utils.packages.versions import Candidate, debian_key
from ansible_collections.fullrank.serving.plugins.modules import held_packages
from module_runner import call


class Ended(Exception):
    """A module that ended; ``result`` is what it returned."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(str(result))
        self.result = result


class Module:
    """As much of AnsibleModule as is used."""

    def __init__(self, check_mode: bool = False, **params: Any) -> None:
        options = {
            "state": "present",
            "family": "",
            "refused": "",
            "sources": [],
            "unresolved_ok": False,
            "packages": [],
            **params,
        }
        defaults = {option: rules["default"] for option, rules in held_packages.ENTRY.items() if "default" in rules}
        options["packages"] = [{**defaults, **one} for one in options["packages"]]
        self.params, self.check_mode, self._diff = options, check_mode, True

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)

    def fail_json(self, **result: Any) -> None:
        raise Ended({"failed": True, **result})


class Archive:
    """A package manager over dictionaries: what it offers, what depends on what by "at least", what fails to install."""

    def __init__(self, offers: list[str], depends: dict[str, list[str]] | None = None, fails: str = "") -> None:
        self.offers = [Candidate(*one.split("="), "test") for one in offers]
        self.depends, self.fails = depends or {}, fails
        self.packages: dict[str, str] = {}
        self.holds: set[str] = set()
        self.log: list[str] = []
        self.never_read = False

    def unread(self) -> bool:
        return self.never_read

    def refresh(self, sources: list[str]) -> None:
        self.log.append("refresh")

    def offered(self, names: list[str]) -> list[Candidate]:
        return [one for one in self.offers if one.name in names]

    def installed(self) -> dict[str, str]:
        return dict(self.packages)

    def held(self) -> set[str]:
        return set(self.holds)

    def outlook(self, wanted: dict[str, str]) -> Outlook:
        full = dict(wanted)
        for name, version in wanted.items():
            for other in self.depends.get(name, []):
                there = self.packages.get(other, "0")
                if other not in full and debian_key(there) < debian_key(version):
                    full[other] = self.offered([other])[0].version  # the newest comes first
        return Outlook(full)

    def install(self, wanted: dict[str, str]) -> None:
        self.log.append("install " + " ".join(f"{name}={version}" for name, version in wanted.items()))
        assert not self.holds & wanted.keys(), "held packages are not changed"
        self.packages.update(self.outlook(wanted).install)
        if any(f"{name}={version}" == self.fails for name, version in wanted.items()):
            raise PackageError("dpkg: error processing package")

    def remove(self, names: list[str]) -> None:
        self.packages = {name: version for name, version in self.packages.items() if name not in names}

    def hold(self, packages: dict[str, str]) -> None:
        self.holds |= packages.keys()

    def unhold(self, names: set[str]) -> None:
        self.holds -= set(names)


DRIVER = [{"names": ["drv-580", "drv"], "version": "580", "where": "version"}, {"names": ["fm"], "version": "same"}]
OFFERS = [f"{name}={version}-1" for name in ("fm", "libdrv") for version in ("590.1", "580.105", "580.95")]
OFFERS += ["drv-580=580.105-1", "drv-580=580.95-1"]
NEEDS = {"drv-580": ["libdrv"]}


def run(archive: Archive, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    change = held_packages.Change(
        Module(check_mode, **{"packages": DRIVER, "family": "^(drv|fm|libdrv)", **params}), archive
    )
    with pytest.raises(Ended) as ended:
        change.absent() if params.get("state") == "absent" else change.present()
    return ended.value.result


def test_dependencies_follow_and_all_are_held() -> None:
    archive = Archive(OFFERS, NEEDS)
    result = run(archive)
    assert result["changed"] and result["version"] == "580.105"
    assert archive.packages == {"drv-580": "580.105-1", "fm": "580.105-1", "libdrv": "580.105-1"}, "not libdrv 590"
    assert archive.holds == archive.packages.keys()
    assert "+" not in result["diff"]["before"] and "libdrv 580.105-1 (held)" in result["diff"]["after"]


def test_what_fits_stays_and_nothing_is_asked() -> None:
    archive = Archive(OFFERS, NEEDS)
    archive.packages = {"drv-580": "580.95-1", "fm": "580.95-1", "libdrv": "580.95-1"}
    archive.holds = set(archive.packages)
    assert run(archive)["changed"] is False
    assert archive.log == []
    upgraded = run(archive, state="latest")
    assert upgraded["changed"] and archive.packages["fm"] == "580.105-1"
    assert archive.holds == archive.packages.keys()


def test_a_missing_part_comes_in_the_version_that_is_installed() -> None:
    archive = Archive(OFFERS, NEEDS)
    archive.packages = {"drv-580": "580.95-1", "libdrv": "580.95-1"}
    run(archive)
    assert archive.packages == {"drv-580": "580.95-1", "fm": "580.95-1", "libdrv": "580.95-1"}


def test_a_lost_hold_is_set_again() -> None:
    archive = Archive(OFFERS, NEEDS)
    archive.packages = {"drv-580": "580.95-1", "fm": "580.95-1", "libdrv": "580.95-1"}
    archive.holds = {"drv-580"}
    assert run(archive, check_mode=True)["changed"] and archive.holds == {"drv-580"}
    assert run(archive)["changed"] and archive.holds == {"drv-580", "fm", "libdrv"}


def test_check_mode_changes_nothing_and_reports_what_would() -> None:
    archive = Archive(OFFERS, NEEDS)
    result = run(archive, check_mode=True)
    assert result["changed"] and archive.packages == {} and archive.holds == set() and archive.log == []
    assert "fm 580.105-1 (held)" in result["diff"]["after"]
    empty = Archive([])
    assert run(empty, check_mode=True, unresolved_ok=True)["changed"]
    assert "no repository of this node has drv-580 or drv" in run(empty, check_mode=True)["msg"]


def test_a_check_run_on_a_new_node_names_what_it_cannot_resolve_yet() -> None:
    new = Archive([])
    new.never_read = True
    result = run(new, check_mode=True)
    assert result["changed"] and "drv-580 or drv, by lists that would be read first\n" in result["diff"]["after"]
    assert run(new)["failed"], "the real run has read them"


def test_a_failure_goes_back() -> None:
    archive = Archive([*OFFERS, "drv-580=580.119-1", "fm=580.119-1", "libdrv=580.119-1"], NEEDS, fails="fm=580.119-1")
    archive.packages = {"drv-580": "580.95-1", "fm": "580.95-1", "libdrv": "580.95-1"}
    archive.holds = set(archive.packages)
    result = run(archive, state="latest")
    assert result["failed"] and result["rolled_back"]
    assert "dpkg: error processing package\nthe versions of before are installed and held again" in result["msg"]
    assert archive.packages == {"drv-580": "580.95-1", "fm": "580.95-1", "libdrv": "580.95-1"}
    assert archive.holds == archive.packages.keys()


def test_a_failure_on_a_bare_node_leaves_it_bare() -> None:
    archive = Archive(OFFERS, NEEDS, fails="fm=580.105-1")
    assert run(archive)["failed"] and archive.packages == {}


def test_the_log_of_a_failed_build_is_quoted_and_kept_before_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going back removes the package, and with it the log that dkms names for people. dkms prints this before dpkg names every
    package that waits for this one: it is not among the last lines of apt."""
    log = tmp_path / "dkms/drv/580.105/build/make.log"
    printed = "\n".join(
        [
            "Error! Bad return status for module build on kernel: 6.12 (x86_64)",
            f"Consult {log} for more information.",
            *(f"dpkg: dependency problems prevent configuration of package{number}" for number in range(60)),
        ]
    )

    def apt_get(words: list[str], **_: Any) -> tuple[int, str, str]:
        log.parent.mkdir(parents=True)
        log.write_text(
            f"  CC {'x' * 500} -Werror\nnv-drm.c:57:3: error: too few arguments\n  LD\nmake: *** [x] Error 2\n"
        )
        return 100, printed, "E: Sub-process /usr/bin/dpkg returned an error code (1)"

    class Building(Archive):
        def install(self, wanted: dict[str, str]) -> None:
            super().install(wanted)
            Apt(apt_get, 1).install(wanted)

        def remove(self, names: list[str]) -> None:
            super().remove(names)
            log.unlink()

    monkeypatch.setattr(held_packages, "KEPT_LOGS", tmp_path / "logs")
    result = run(Building(OFFERS, NEEDS))
    log_copy = tmp_path / "logs/drv-580.105-make.log"
    assert result["failed"] and result["rolled_back"] and result["build_log"] == str(log_copy)
    assert (
        "dkms: Bad return status for module build on kernel: 6.12 (x86_64)\n"
        "  nv-drm.c:57:3: error: too few arguments\n  make: *** [x] Error 2\n"
        f"All of its log is kept in {log_copy}.\nthe versions of before are installed"
    ) in result["msg"]
    assert "Error 2" in log_copy.read_text() and not log.exists()


def test_a_build_without_a_log_or_without_words_in_it(tmp_path: Path) -> None:
    assert held_packages.failed_build("dpkg: error processing package", tmp_path) == ("", "")
    headers = "Error! Your kernel headers for kernel 6.12 cannot be found at /lib/modules/6.12/build"
    assert headers.removeprefix("Error! ") in held_packages.failed_build(headers, tmp_path)[0]
    gone = f"Error! Bad return status\nConsult {tmp_path}/none.log for more information."
    assert "could not be kept" in held_packages.failed_build(gone, tmp_path)[0]
    assert dkms.telling("\n".join(map(str, range(40)))) == [str(number) for number in range(28, 40)]
    many = [f"a.c:{number}: error: x" for number in range(40)]
    assert dkms.telling("\n".join([*many, "make: *** [a] Error 1"])) == [*many[:10], many[-1], "make: *** [a] Error 1"]


def test_what_goes_first_is_installed_alone_before() -> None:
    archive = Archive([*OFFERS, "pin=1-1"], NEEDS)
    pin = {"names": ["pin"], "first": True, "optional": True, "hold": False}
    run(archive, packages=[pin, *DRIVER])
    assert archive.log[1] == "install pin=1-1"
    assert "pin" not in archive.holds
    without = Archive(OFFERS, NEEDS)
    assert run(without, packages=[pin, *DRIVER])["changed"] and "pin" not in without.packages


def test_all_findings_at_once_before_anything_changes() -> None:
    wanted = [{"names": ["drv-580"], "version": "570", "where": "a"}, {"names": ["old"], "at_least": "3", "where": "b"}]
    archive = Archive([*OFFERS, "old=2-1"])
    result = run(archive, packages=wanted)
    assert result["msg"].startswith("nothing was changed: 2 findings\na: no drv-580 of version 570")
    assert "b: old 2 is offered, 3 is needed" in result["msg"]


def test_what_must_not_come_along_is_refused() -> None:
    """A Fabric Manager beside a .run file that would bring the driver's packages, too."""
    offers = ["nvidia-fabricmanager=580.95.05-1", "nvidia-driver=580.95.05-1"]
    archive = Archive(offers, {"nvidia-fabricmanager": ["nvidia-driver"]})
    packages = [{"names": ["nvidia-fabricmanager"], "version": "580.95.05"}]
    result = run(archive, packages=packages, refused="^nvidia-driver")
    assert result["failed"] and "nvidia-driver would come along and must not" in result["msg"]
    assert archive.packages == {}
    assert run(archive, packages=packages)["changed"]


def test_absent_removes_the_family_and_its_holds() -> None:
    archive = Archive(OFFERS)
    archive.packages = {"drv-580": "1-1", "fm": "1-1", "other": "1-1"}
    archive.holds = {"fm", "other"}
    assert run(archive, state="absent")["removed"] == ["drv-580", "fm"]
    assert (archive.packages, archive.holds) == ({"other": "1-1"}, {"other"})
    assert run(archive, state="absent")["changed"] is False


def test_what_has_versions_of_its_own_is_left_alone() -> None:
    """nvidia-modprobe 570.133.07 belongs to Debian's driver 550.163.01; a libdrv of the branch must be there in full."""
    own = Archive([*OFFERS, "drv-tool=590.7-1"], {"drv-580": ["libdrv", "drv-tool"]})
    assert run(own)["changed"] and own.packages["drv-tool"] == "590.7-1" and "drv-tool" not in own.holds
    partial = Archive([one for one in OFFERS if one != "libdrv=580.105-1"], NEEDS)
    assert "no libdrv of version 580.105" in run(partial)["msg"] and partial.packages == {}


def test_a_hold_of_somebody_else_is_set_again() -> None:
    archive = Archive(OFFERS, NEEDS)
    archive.packages, archive.holds = {"drv-extra": "7-1"}, {"drv-extra"}
    run(archive)
    assert "drv-extra" in archive.holds
    assert run(archive)["changed"] is False


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"state": "upgraded"}, "value of state must be one of: present, latest, absent"),
        ({"packages": [{"version": "1"}]}, "missing required arguments: names found in packages"),
    ],
)
def test_wrong_arguments_are_refused(args: dict[str, Any], message: str) -> None:
    assert message in call(held_packages, **args)["msg"]
