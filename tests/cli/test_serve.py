"""What `chronotope serve` refuses before anything is started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chronotope.cli.serve import _read_tokens
from chronotope.errors import UsageError
from tests.cli.models import refused


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_other_machines_need_a_token_and_a_name(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("a-token-of-20-letters\n")
    (tmp_path / "short.txt").write_text("short\n")
    open_host = ("serve", "--host", "0.0.0.0")
    for more in ((), ("--token-file", "tokens.txt"), ("--allow-host", "lab.example")):
        assert "needs --token-file FILE, and --allow-host" in refused(*open_host, *more, status=2)
    assert "at least 16 characters" in refused("serve", "--token-file", "short.txt", status=2)
    assert "cannot be read" in refused("serve", "--token-file", "missing.txt", status=1)
    assert not list(tmp_path.glob("service*"))


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, True), (0o600, False)])
def test_a_token_file_that_others_can_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, warned: bool
) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("a-token-of-20-letters\n")
    path.chmod(mode)
    assert _read_tokens(path) == ("a-token-of-20-letters",)
    assert (f"chmod 600 {path}" in capsys.readouterr().err) == warned


def test_a_missing_model_and_a_missing_package_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Did you mean 'small'" in refused("serve", "--model", "smal", "--port", "0", status=1)
    for name in [name for name in sys.modules if name.startswith(("chronotope.serve.app", "uvicorn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'chronotope[serve]'" in refused("serve", status=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# tokens-of-the-laboratory\na-token-of-20-letters\n", "one a line, and nothing else"),
        ("a-token-of-20-letters another-of-20-letters\n", "one a line, and nothing else"),
        ("a-token-of-2\xf6-letters\n", "line 1 .* other characters than ASCII"),
        ("a-token-of-20-letters\n\na-token-of-20-letters\n", "holds a token twice"),
    ],
)
def test_a_token_file_holds_tokens_alone(tmp_path: Path, text: str, words: str) -> None:
    """Else a word of a comment opens the server, or a token that was given opens nothing."""
    path = tmp_path / "tokens.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        _read_tokens(path)
    path.write_text("\ufeffa-token-of-20-letters\r\n", encoding="utf-8")
    assert _read_tokens(path) == ("a-token-of-20-letters",)
