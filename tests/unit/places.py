"""Where things are, for tests at any depth."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
