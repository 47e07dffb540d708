"""What a rule of a policy does where it holds, the mildest first."""

from __future__ import annotations

from typing import Literal

__all__ = ["ACTIONS", "Action"]

Action = Literal["allow", "note", "refuse"]
ACTIONS: tuple[Action, ...] = ("allow", "note", "refuse")
