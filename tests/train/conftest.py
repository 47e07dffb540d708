"""A run that several modules read, trained once in each process of the test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.small import save_moving_blocks, train_on


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_moving_blocks(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_on(clips, tmp_path_factory.mktemp("run"))
