"""Actions: what they are in an environment, and which ones led from frame to frame of a clip."""

from chronotope.actions.recorded import SUFFIX, Actions, has_actions, left_behind, read_actions
from chronotope.actions.schema import ActionSchema

__all__ = ["SUFFIX", "ActionSchema", "Actions", "has_actions", "left_behind", "read_actions"]
