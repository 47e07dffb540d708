"""A service without workers, and a function that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chronotope.serve.service import Service
from tests.serve.asking import Ask, asked


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service without workers: jobs stay queued."""
    with Service(tmp_path / "service", devices=()) as found:
        yield found


@pytest.fixture
def ask(service: Service) -> Ask:
    return asked(service)
