# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes, rates and times in the units of people. Pure; private to this collection.

What is held is counted in binary units, as the kernel, nvidia-smi and the engines count memory and free space: `binary`. What
moves is counted in decimal units, as networks and disks are sold and hubs list their files: `decimal` and `rate`.
"""

from __future__ import annotations

from collections.abc import Sequence

_BINARY = ("B", "KiB", "MiB", "GiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB")


def binary(count: float) -> str:
    """Bytes of memory or of a file system, GiB at most, so that the two sizes of one message compare.

    >>> [binary(one) for one in (1023, 65536, 1.5 * 2**30, -(2**41))]
    ['1023 B', '64 KiB', '1.5 GiB', '-2048 GiB']
    """
    return _scaled(count, _BINARY, 1024)


def decimal(count: float) -> str:
    """Bytes that are transferred.

    >>> [decimal(one) for one in (999, 12_345_678, 688.6e9)]
    ['999 B', '12.3 MB', '688.6 GB']
    """
    return _scaled(count, _DECIMAL, 1000)


def rate(bytes_per_second: float) -> str:
    """A transfer's speed.

    >>> rate(412e6)
    '412 MB/s'
    """
    return f"{decimal(bytes_per_second)}/s"


def _scaled(count: float, units: Sequence[str], step: int) -> str:
    value, unit = float(count), units[0]
    for unit in units:
        if abs(value) < step or unit == units[-1]:
            break
        value /= step
    # a fraction of a byte is none; 64 KiB is exact, 12.0 GB is rounded
    return f"{value:.0f} {unit}" if unit == units[0] or value.is_integer() else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """How long something takes, in a sentence.

    >>> [duration(one) for one in (0.000012, 0.0342, 2.5, 30, 240, 7500)]
    ['12 us', '34.2 ms', '2.5 s', '30 s', '4 min', '2 h 05 min']
    """
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    if seconds >= 10 or seconds <= 0:
        return f"{seconds:.0f} s"
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.0f} us"


def age(seconds: int | None) -> str:
    """How long something has been there, in a column: its two largest units; ``-`` when it is not known.

    >>> [age(one) for one in (None, 61, 3661, 90000)]
    ['-', '1m01s', '1h01m', '1d01h']
    """
    if seconds is None:
        return "-"
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02d}h"
    return f"{hours}h{minute:02d}m" if hours else f"{minutes}m{second:02d}s"
