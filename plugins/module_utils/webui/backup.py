# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of Open WebUI's data, made while it does not run, and brought back. Private to this collection.

A backup is a folder: ``data`` (chats and files; with SQLite the database too), ``database.dump`` with PostgreSQL, and last
``backup.json``, without which it is not one. Caches are not copied: Open WebUI makes them again.
"""

from __future__ import annotations

import json
import shutil
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.fullrank.serving.plugins.module_utils.common import human

Run = Callable[..., "tuple[int, str, str]"]

NOT_COPIED = ("cache", "static")
COMPLETE = "backup.json"
DUMP = "database.dump"

# What a failed upgrade made is in no dump, and would be in the way of the next one.
_EMPTY = """
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = current_schema() LOOP
    EXECUTE 'DROP TABLE IF EXISTS ' || one.name || ' CASCADE';
  END LOOP;
END $$;
"""


def connection(url: str) -> dict[str, str]:
    """The environment by which PostgreSQL's own programs reach the database of ``url``: nothing of it on a command line.

    A server that is reached by a socket has its folder, and the port in the socket's name, in the query.
    """
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    found = {
        "PGHOST": parts.hostname or query.get("host", ""),
        "PGPORT": str(parts.port or query.get("port", "")),
        "PGUSER": urllib.parse.unquote(parts.username or ""),
        "PGPASSWORD": urllib.parse.unquote(parts.password or ""),
        "PGDATABASE": urllib.parse.unquote(parts.path.lstrip("/")),
        "PGSSLMODE": query.get("sslmode", ""),
    }
    return {name: value for name, value in found.items() if value}


def size(data: Path) -> int:
    """Bytes that a backup of ``data`` takes, without the database of PostgreSQL."""
    return sum(
        file.lstat().st_size
        for entry in _entries(data)
        for file in ([entry] if not entry.is_dir() else entry.rglob("*"))
    )


def room(data: Path, folder: Path) -> str:
    """Why a backup does not fit into ``folder``; empty when it does."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    needed, free = size(data), shutil.disk_usage(there).free
    if needed <= free:
        return ""
    return f"a backup of {data} takes {human.binary(needed)}, and {there} has {human.binary(free)} left"


def save(run: Run, data: Path, folder: Path, database_url: str, about: dict[str, Any]) -> None:
    """Make the backup. Raises RuntimeError with PostgreSQL's output."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    _copy(run, data, folder / "data")
    if database_url:
        words = [
            "pg_dump",
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            "--no-comments",
            f"--file={folder / DUMP}",
        ]
        _postgresql(run, words, database_url)
    (folder / COMPLETE).write_text(json.dumps(about))


def restore(run: Run, folder: Path, data: Path, database_url: str) -> None:
    """Bring the backup back over whatever is in ``data`` and in the database. Raises RuntimeError as ``save`` does."""
    for entry in _entries(data):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    _copy(run, folder / "data", data)
    if database_url:
        _postgresql(
            run, ["psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--command={_EMPTY}"], database_url
        )
        words = [
            "pg_restore",
            "--single-transaction",
            "--no-owner",
            "--no-privileges",
            f"--dbname={_name(database_url)}",
        ]
        _postgresql(run, [*words, str(folder / DUMP)], database_url)


def complete(folder: Path) -> dict[str, Any] | None:
    """The description of a backup; None when it is none, or was not finished."""
    try:
        return dict(json.loads((folder / COMPLETE).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def prune(backups: Path, keep: int) -> list[str]:
    """Remove all but the ``keep`` newest backups; their names begin with the time. Gives what was removed."""
    found = sorted(path for path in backups.glob("*") if path.is_dir()) if backups.exists() else []
    old = found[: max(len(found) - keep, 0)]
    for path in old:
        shutil.rmtree(path)
    return [str(path) for path in old]


def _entries(data: Path) -> list[Path]:
    return [path for path in data.iterdir() if path.name not in NOT_COPIED] if data.exists() else []


def _copy(run: Run, source: Path, target: Path) -> None:
    if found := _entries(source):
        run(["cp", "--archive", "--reflink=auto", f"--target-directory={target}", *map(str, found)], check_rc=True)


def _name(url: str) -> str:
    return connection(url).get("PGDATABASE", "")


def _postgresql(run: Run, words: list[str], url: str) -> None:
    code, _unused, error = run(words, environ_update=connection(url))
    if code:
        raise RuntimeError(f"{words[0]} failed: {error.strip()[-1000:]}")
