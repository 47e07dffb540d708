"""The settings of a made file -> which layers of the system acted on it, in the order in which they acted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["layers_of"]


def layers_of(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table for each layer; what the settings of a file do not tell of is said to be unknown.

    The names `model` and `autoencoder` are those of the layers that `chronotope layers` compares.
    """
    model = origin.get("model")
    names = dict(model) if isinstance(model, dict) else {}
    typed = origin.get("typed_prompt")
    dit, decoder, text = (names.pop(name, "unknown") for name in ("dit", "autoencoder", "text_encoder"))
    encoder = "its own" if text == "unknown" else text
    student = {"sampled by its student": names.pop("student")} if "student" in names else {}
    found: dict[str, Any] = {
        "expansion": {"typed": typed, "told": origin.get("prompt")}
        if typed
        else "none: the model was told what was typed",
        "policy": _policy(origin.get("policy")),
        "model": {
            "weights": dit,
            **student,
            "text encoder": encoder,
            **_adapters(origin),
        },
        "autoencoder": {"weights": decoder, "decoder noise": origin.get("decoder_noise", "unknown")},
        "selection": f"none: the only video of seed {origin['seed']}" if "seed" in origin else "unknown",
        "comparison": origin.get("nearest") or "none: not compared with training clips",
        "output": _output(origin.get("output")),
        "provenance": origin.get("provenance") or "none: written by an earlier version, or not delivered",
    }
    if names:
        found["model"]["trained on"] = names
    return found


def _policy(decided: Any) -> Any:
    if not isinstance(decided, dict):
        return "unknown"
    if not decided.get("decisions"):
        return "off: no text was judged"
    texts = {one.get("text"): _decision(one) for one in decided["decisions"] if isinstance(one, dict)}
    about = {name: decided.get(name) for name in ("name", "version", "hash")}
    return {**about, **texts, **({"uploads": decided["uploads"]} if decided.get("uploads") else {})}


def _output(judged: Any) -> Any:
    """Return the decision of every rule of frames, and in how many frames it was looked for."""
    if not isinstance(judged, dict):
        return "not checked: the policy has no rule of frames"
    rows = [one for one in judged.get("decisions", []) if isinstance(one, dict)]
    told = {str(one.get("rule")): f"{one.get('action')} by {one.get('by')}, score {one.get('score')}" for one in rows}
    return {"frames": judged.get("frames"), **told}


def _decision(one: Mapping[str, Any]) -> str:
    by = f" by {one['rule']}" if one.get("rule") else ""
    return f"{one.get('action')}{by}, nearest to {one.get('category')} with score {one.get('score')}"


def _adapters(origin: Mapping[str, Any]) -> dict[str, Any]:
    return {"adapters": origin["adapters"]} if origin.get("adapters") else {}
