"""How far a trained world can be trusted, beside baselines and beside a world that is trained in pixels."""
