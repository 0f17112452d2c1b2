"""Make ``ansible_collections.fullrank.serving`` importable, as the unit tests do."""

from tests.unit import conftest as _conftest  # noqa: F401
