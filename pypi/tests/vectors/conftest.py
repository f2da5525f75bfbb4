"""Collected only where the module has what the vectors need."""

from __future__ import annotations

import pytest

from picobase import _native

if not hasattr(_native, "testing"):
    collect_ignore_glob = ["*"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vectors: the shared test vectors of the SDK family")
