#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A virtual environment with exactly the packages of a list."""

from __future__ import annotations

DOCUMENTATION = r"""
module: python_environment
version_added: 0.1.0
short_description: A virtual environment with exactly the packages of a list
description:
  - Makes a virtual environment and installs the packages of a complete list, and nothing else. Each is a wheel with one of the
    hashes that the list has for it; a list without hashes is refused. An environment that was made from the same list is left
    alone; any other is made again.
  - The environment gets a pip of its own where the interpreter has C(ensurepip); otherwise the pip of the node's C(python3)
    installs into it.
options:
  path:
    description: Folder of the environment.
    type: path
    required: true
  requirements:
    description: The list, as text, for whichever Python it is. Dependencies that it does not name are not installed.
    type: str
  locks:
    description: Lists for versions of Python, as text; the interpreter's own is taken. C(python3) is the first choice then.
    type: dict
  python:
    description: The interpreter. When not set, the first of C(python3.12) and so on, and C(python3), that is one of O(versions);
      C(python3) where O(versions) is empty.
    type: str
    default: ""
  versions:
    description: Versions of Python that will do, the best first; any when empty. Those of O(locks) when these are given.
    type: list
    elements: str
    default: []
  index_url:
    description: Python index. What pip on the node is configured for when not set.
    type: str
    default: ""
attributes:
  check_mode:
    description: Returns whether the environment would be made.
    support: full
  diff_mode:
    description: An environment has no text.
    support: none
requirements:
  - C(ensurepip) for O(python) (Debian's python3-venv), or pip 22.3 or newer for the node's C(python3)
author:
  - The fullrank authors (@fullrank)
"""

EXAMPLES = r"""
- name: Install Open WebUI
  fullrank.serving.python_environment:
    path: /opt/fullrank-webui/0.12.4
    requirements: "{{ lookup('ansible.builtin.file', 'open-webui-0.12.4.txt') }}"
    versions: ["3.12", "3.11"]
"""

RETURN = r"""
python:
  description: The interpreter that it is, or would be, made with.
  returned: it was not there
  type: str
  sample: /usr/bin/python3.11
"""

import hashlib
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

STAMP = ".fullrank-requirements"
LIST = "requirements.txt"
SYSTEM_PYTHON = "/usr/bin/python3"
VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
_LINES = 8  # of pip's output, in a message


def interpreter(module: AnsibleModule, versions: list[str], candidates: list[str]) -> tuple[str, str]:
    """Path and version of the Python to use; fails with what was found instead. versions: that will do; any when empty."""
    params = module.params["python"]
    found = {}
    for name in [params] if params else candidates:
        path = shutil.which(name)
        if path:
            code, output, _unused = module.run_command([path, "-c", VERSION])
            found[path] = output.strip() if code == 0 else "broken"
            if found[path] in versions or (found[path] != "broken" and not versions):
                return path, found[path]
    there = ", ".join(f"{path} is {version}" for path, version in found.items())
    wanted = " or ".join(versions) or "3"
    module.fail_json(
        msg=f"Python {wanted} is needed, and {there or f'there is no {params}'}: install one and name it, or use a container"
    )
    raise AssertionError  # fail_json does not come back


def install(module: AnsibleModule, path: Path, python: str, requirements: str, wanted: str) -> None:
    params = module.params
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [str(path / "bin/python"), "-m", "pip"]
    if module.run_command([python, "-m", "venv", str(path)])[0]:  # without ensurepip
        shutil.rmtree(path, ignore_errors=True)
        module.run_command([python, "-m", "venv", "--without-pip", str(path)], check_rc=True)
        words = [SYSTEM_PYTHON, "-m", "pip", "--python", str(path / "bin/python")]
    (path / LIST).write_text(requirements)
    words += ["install", "--quiet", "--no-input"]
    words += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    if params["index_url"]:
        words += ["--index-url", params["index_url"]]
        if params["index_url"].startswith("http://"):  # pip takes an index without TLS only with this option
            words += ["--trusted-host", urlsplit(params["index_url"]).hostname or ""]
    code, output, error = module.run_command([*words, "--requirement", str(path / LIST)])
    if code:
        last = "\n".join((error or output).strip().splitlines()[-_LINES:])
        module.fail_json(msg=f"pip could not install the packages of {path / LIST}:\n{last}")
    (path / STAMP).write_text(wanted)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "requirements": {"type": "str"},
            "locks": {"type": "dict"},
            "python": {"type": "str", "default": ""},
            "versions": {"type": "list", "elements": "str", "default": []},
            "index_url": {"type": "str", "default": ""},
        },
        required_one_of=[("requirements", "locks")],
        mutually_exclusive=[("requirements", "locks"), ("versions", "locks")],
        supports_check_mode=True,
    )
    params = module.params
    path = Path(params["path"])
    locks = params["locks"] or {}
    versions = list(locks) or params["versions"]
    named = [f"python{one}" for one in versions]
    candidates = ["python3", *named] if locks else [*named, "python3"]
    python = ""
    requirements = params["requirements"] or ""
    if locks:
        python, version = interpreter(module, versions, candidates)
        requirements = str(locks[version])
    wanted = hashlib.sha256(f"{params['python']}\n{requirements}".encode()).hexdigest()
    # the link to an interpreter that an upgrade of the distribution removed leads nowhere
    if (path / "bin/python").exists() and (path / STAMP).exists() and (path / STAMP).read_text() == wanted:
        module.exit_json(changed=False)
    python = python or interpreter(module, versions, candidates)[0]
    if not module.check_mode:
        install(module, path, python, requirements, wanted)
    module.exit_json(changed=True, python=python)


if __name__ == "__main__":
    main()
