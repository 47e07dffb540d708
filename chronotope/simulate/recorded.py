"""A trained model that is recorded as an environment is; its clips are delivered as all generated files are.

So each clip is marked, judged by the policy and signed, and its tags and its sidecar say by which weights, seed and
prompt it was generated: a training on such clips can tell them from real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronotope.geometry import Frames
from chronotope.media.generated import weights_in_words
from chronotope.record.environment import Environment
from chronotope.safety.deliver import deliver
from chronotope.simulate.env import WorldEnv
from chronotope.simulate.model import WorldModel
from chronotope.simulate.record import played_origin

__all__ = ["EPISODE_STEPS", "generated_by", "recorded_environment"]

EPISODE_STEPS = 200  # a model ends no episode by itself, and long sessions collapse


def generated_by(model: WorldModel) -> str:
    """Name the weights of a model, as the dataset of a recording does."""
    return weights_in_words(model.names)


def recorded_environment(
    name: str, model: WorldModel, size: tuple[int, int] | None, episode_steps: int | None, prompt: str = ""
) -> Environment:
    """Return a model as an environment of this name; episodes begin with the prompt, or with a stored picture."""
    env = WorldEnv(model, episode_steps or EPISODE_STEPS)

    def put(key: Path, frames: Frames, fps: float, record: Mapping[str, Any]) -> list[Path]:
        path = key.with_name(f"{key.name}.{'mp4' if len(frames) > 1 else 'png'}")
        height, width = frames.shape[1:3]
        origin = {
            **played_origin(env.start.line(model), "record"),
            **{field: record[field] for field in ("environment", "episode", "first_step")},
            "width": width,
            "height": height,
            "num_frames": len(frames),
            "fps": fps,
        }
        is_composite = env.start.picture is not None and record["first_step"] == 0
        deliver(path, frames, fps, origin, composite=is_composite, policy=model.generator.policy)
        return [path, path.with_name(f"{path.name}.json")]

    return Environment(name, env, size, {"prompt": prompt} if prompt else None, put)
