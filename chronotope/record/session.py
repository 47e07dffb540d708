"""Play episodes of an environment and record them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chronotope.progress import Progress
from chronotope.record.environment import Environment
from chronotope.record.players import Player, player_of
from chronotope.record.recorder import Recorder, Recording, recording
from chronotope.worlds.write import clip_seed

__all__ = ["episode_seed", "record"]


def episode_seed(recorder: Recorder) -> int:
    """Return the seed of the episode that begins next."""
    return clip_seed(recorder.request.seed, recorder.next_episode) % 2**31


def record(
    out: Path,
    request: Recording,
    environment: Environment,
    player: Callable[[int], Player] | None = None,
    progress: Progress | None = None,
    program: str = "",
) -> int:
    """Record until the folder holds as many frames as requested; return how many it holds.

    `player` makes the player of an episode from its seed; without it the policy of the request plays. It may end the
    recording earlier. Raises UsageError where the folder holds something else, FileProblem where it was changed or
    cannot be written.
    """
    choose = player or (lambda seed: player_of(request.policy, environment.schema, seed))
    with recording(out, request, environment.schema, environment.fps, program, environment.put) as recorder:
        while not recorder.complete and _play(recorder, environment, choose, progress):
            pass
    return recorder.held


def _play(
    recorder: Recorder, environment: Environment, choose: Callable[[int], Player], progress: Progress | None
) -> bool:
    """Play an episode until it is over or there are enough frames; return False where the player ends the recording."""
    seed = episode_seed(recorder)
    player, frame, over = choose(seed), environment.reset(seed), False
    episode = recorder.begin(frame)
    while not (recorder.complete or over):
        action = player.choose(frame)
        if action is None:
            episode.close()
            return False
        frame, reward, over = environment.step(action)
        episode.add(frame, action, reward)
        if progress:
            progress(recorder.held, recorder.request.steps)
    episode.close()
    return True
