"""Collisions, by the pymunk physics engine."""

from __future__ import annotations

import numpy as np

__all__ = ["ELASTICITY", "collide"]

ELASTICITY = 0.8
FRICTION = 0.25  # of the first speed, lost each second
_STEP = 1 / 960


def collide(
    gap: float, speed: float, mass_ratio: float, seconds: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], float | None]:
    """How far each of two bodies has gone at each time, when the first runs at `speed` into the second, `gap` ahead, at rest.

    `mass_ratio` is the first's mass over the second's. Also returns the time of contact, or None if there was none.
    """
    import pymunk

    space = pymunk.Space(threaded=False)
    space.collision_slop = 0.0
    bodies = []
    for mass, place in ((mass_ratio, -0.5 - gap / max(speed, 1e-9)), (1.0, 0.5)):
        body = pymunk.Body(mass, float("inf"))
        body.position = (place, 0.0)  # in units of what the first body covers in a second
        box = pymunk.Poly.create_box(body, (1.0, 1.0))
        box.elasticity = ELASTICITY**0.5  # pymunk multiplies the two
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
            for body in bodies:  # sliding friction: a steady loss of speed
                v = body.velocity.x
                body.velocity = (np.sign(v) * max(abs(v) - FRICTION * step, 0.0), 0.0)
        paths[:, i] = [(body.position.x - start) * speed for body, start in zip(bodies, starts, strict=True)]
    return (paths[0], paths[1]), contact
