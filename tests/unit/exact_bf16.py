# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FP8 times scale to BF16 in exact arithmetic: the reference for the converter."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from functools import cache

NAN = 0x7FC0


def f32(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def e4m3(code: int) -> float:
    """OCP 8-bit floating point, E4M3: bias 7, no infinities, NaN where all seven bits are set."""
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = code >> 3 & 15, code & 7
    if exponent == 15 and mantissa == 7:
        return math.nan
    return sign * (mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7))


def bf16(value: float) -> int:
    """The bits of ``value``, an exact product, in BF16: rounded once, to nearest, ties to even."""
    if math.isnan(value):
        return NAN
    sign = 0x8000 if math.copysign(1, value) < 0 else 0
    if math.isinf(value):
        return sign | 0x7F80
    size = abs(Fraction(value))
    if not size:
        return sign
    exponent = max(math.frexp(float(size))[1] - 1, -126)
    steps = size / Fraction(2) ** (exponent - 7)  # in units of the last place
    whole = round(steps)  # Python rounds ties to even
    if exponent == -126 and whole < 128:
        return sign | whole
    if whole == 256:
        exponent, whole = exponent + 1, 128
    return sign | 0x7F80 if exponent > 127 else sign | (exponent + 127) << 7 | (whole - 128)


def product(code: int, scale: float) -> int:
    return _product(code, struct.pack("<d", scale))


@cache
def _product(code: int, scale: bytes) -> int:
    """Exact in float64: 4 and 24 significant bits, exponents far inside its range."""
    return bf16(e4m3(code) * struct.unpack("<d", scale)[0])
