# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A captured parser as plain data: what the records are made of, and which stubs leaked into it.

Pure apart from trying out actions of the parser. The tests also run `argparse_options` inside installed engines, so
this file imports only the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import io
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Anything as JSON data: enums by value, sets sorted, keys as text; what has no JSON form as ``<class name>``."""
    if value is argparse.SUPPRESS:
        return None
    if type(value).__name__ == "Stub":
        return str(value)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) or (hasattr(value, "keys") and hasattr(value, "__iter__")):
        return [plain(item) for item in value]
    return f"<{type(value).__name__}>"


def type_name(convert: Any) -> str:
    """The name of an argparse type; one made by a wrapping function with what it wraps: ``optional_type[int]``."""
    if convert is None:
        return "str"
    if type(convert).__name__ == "Stub":
        return str(convert)
    wrapped = [cell.cell_contents for cell in getattr(convert, "__closure__", None) or ()]
    inner = ",".join(type_name(each) for each in wrapped if callable(each))
    name = getattr(convert, "__name__", None) or type(convert).__name__
    return name.strip("_") + (f"[{inner}]" if inner else "")


def argparse_options(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """One record per action of an argparse parser, ``--help`` and ``--version`` left out."""
    return [
        _action(parser, action)
        for action in parser._actions
        if _class(action) not in ("_Help", "_Version", "_SubParsers")
    ]


def _class(action: argparse.Action) -> str:
    return type(action).__name__.removesuffix("Action")


def _action(parser: argparse.ArgumentParser, action: argparse.Action) -> dict[str, Any]:
    help_text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
    return {
        "spellings": _spellings(parser, action),
        "off": _off(parser, action),
        "dest": action.dest,
        "action": _class(action).lstrip("_"),
        "nargs": plain(action.nargs),
        "type": type_name(action.type),
        "choices": None if action.choices is None else plain(list(action.choices)),
        "default": plain(action.default),
        "const": plain(action.const),
        "help": help_text,
        "fatal": _class(action).startswith("Deprecated") and _refuses(parser, action),
        "marked": _class(action).startswith("Deprecated") or bool(getattr(action, "deprecated", False)),
        "new_flag": plain(getattr(action, "new_flag", None)),
    }


def _spellings(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """Everything the parser takes for this action, what it shows in its help first."""
    accepted = [spelling for spelling, owner in parser._option_string_actions.items() if owner is action]
    return sorted(accepted, key=lambda spelling: spelling not in action.option_strings)


def _off(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """The spellings of a switch that turn it off, found by trying: not every engine has ``--no-``."""
    if not isinstance(action, argparse.BooleanOptionalAction):
        return []
    found = []
    for spelling in _spellings(parser, action):
        namespace = argparse.Namespace()
        action(parser, namespace, None, spelling)
        if getattr(namespace, action.dest) is False:
            found.append(spelling)
    return found


def _refuses(parser: argparse.ArgumentParser, action: argparse.Action) -> bool:
    """Whether using a deprecated option stops the launch; some only warn."""
    value: Any = "1" if action.nargs is None else []
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            action(parser, argparse.Namespace(), value, action.option_strings[0])
    except (Exception, SystemExit):
        return True
    return False


def click_options(command: Any) -> list[dict[str, Any]]:
    """One record per parameter of a click command, in the same form."""
    return [_parameter(each) for each in command.params if each.name != "help"]


def _parameter(parameter: Any) -> dict[str, Any]:
    names = {"integer": "int", "text": "str", "choice": "str"}
    count = getattr(parameter, "count", False)
    flag = getattr(parameter, "is_flag", False) or count
    default = parameter.default() if callable(parameter.default) else parameter.default
    unset = type(default).__name__ == "Sentinel"  # click's mark for "no default"
    action = ("BooleanOptional" if parameter.secondary_opts else "StoreTrue") if flag else "Store"
    return {
        "spellings": [*parameter.opts, *parameter.secondary_opts],
        "off": list(parameter.secondary_opts),
        "dest": parameter.name,
        "action": "Append" if getattr(parameter, "multiple", False) else action,
        "nargs": 0 if flag else None if parameter.nargs == 1 else parameter.nargs,
        "type": names.get(parameter.type.name, parameter.type.name),
        "choices": plain(list(parameter.type.choices)) if hasattr(parameter.type, "choices") else None,
        "default": None if unset else plain(default),
        "const": None,
        "help": str(getattr(parameter, "help", None) or ""),
        "fatal": False,
        "marked": bool(getattr(parameter, "deprecated", False)),
        "new_flag": None,
    }
