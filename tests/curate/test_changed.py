"""Files that change while a curation reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.curate import run as run_module
from chronotope.data.clips import scan_folder
from chronotope.errors import FileProblem, UsageError
from chronotope.media import video
from tests.curate.films import scene
from tests.curate.test_run import run, small


def test_a_file_that_was_changed_while_it_was_read_is_read_again(tmp_path: Path) -> None:
    """Also where its content is the same; and where none is left the dataset counts as interrupted."""
    folder, out = small(tmp_path / "f", 2), tmp_path / "out"
    names = sorted(path.name for path in folder.glob("*.mp4"))

    def look(*arguments: Any, **options: Any) -> Any:
        found = looked(*arguments, **options)
        if arguments[0].name == names[1]:
            os.utime(arguments[0], ns=(1, 1))
        return found

    looked = run_module.look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "look", look)
        assert [why for _, why in run(folder, out).unusable] == [run_module.CHANGED]
    assert run(folder, out).unusable == ()

    def swap(number: int, total: int) -> None:
        if number == total:
            for name in names:
                (folder / name).unlink(missing_ok=True)

    for name in names:
        video.write(folder / name, np.stack(scene(np.random.default_rng(len(name)), 30)), 12)
    with pytest.raises(FileProblem, match=r"no clip of 2 files is left: .*changed while it was read"):
        run(folder, out, progress=swap)
    with pytest.raises(UsageError, match="was interrupted"):
        scan_folder(out)
