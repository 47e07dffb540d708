"""Collisions of two bodies on a line, simulated by pymunk."""

from __future__ import annotations

import numpy as np

__all__ = ["ELASTICITY", "collide"]

ELASTICITY = 0.8
FRICTION = 0.25  # share of the initial speed that is lost per second
_STEP = 1 / 960  # seconds


def collide(
    gap: float, speed: float, mass_ratio: float, seconds: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], float | None]:
    """Return how far two bodies have moved at each of `seconds`, and the time of contact or None.

    The first body starts at `speed` towards the second, which rests `gap` ahead. `mass_ratio` is the mass of the first
    over that of the second.
    """
    import pymunk

    space = pymunk.Space(threaded=False)
    space.collision_slop = 0.0
    bodies = []
    for mass, position in ((mass_ratio, -0.5 - gap / max(speed, 1e-9)), (1.0, 0.5)):
        body = pymunk.Body(mass, float("inf"))
        body.position = (position, 0.0)  # in units of the distance that the first body covers in a second
        box = pymunk.Poly.create_box(body, (1.0, 1.0))
        box.elasticity = ELASTICITY**0.5  # pymunk multiplies the two values
        space.add(body, box)
        bodies.append(body)
    bodies[0].velocity = (1.0, 0.0)
    starts = [body.position.x for body in bodies]
    contact: float | None = None
    paths = np.zeros((2, len(seconds)))
    now = 0.0
    for i, moment in enumerate(seconds):
        while now < moment - 1e-9:
            step = min(_STEP, float(moment) - now)
            space.step(step)
            now += step
            if contact is None and bodies[1].velocity.x > 1e-9:
                contact = now
            for body in bodies:  # sliding friction: a constant loss of speed
                v = body.velocity.x
                body.velocity = (np.sign(v) * max(abs(v) - FRICTION * step, 0.0), 0.0)
        paths[:, i] = [(body.position.x - start) * speed for body, start in zip(bodies, starts, strict=True)]
    return (paths[0], paths[1]), contact
