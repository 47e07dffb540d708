"""Chronotope: from raw video to generated video, in PyTorch.

The stages in order: world, encode, train, generate, evaluate. The packages follow them: `worlds` renders clips with
captions and exact truth, `data` encodes clips with the autoencoder of `models`, `train` fits the transformer with the
mathematics of `flow`, `generate` turns prompts, pictures and clips into pixels, `simulate` steps a model with actions,
`evaluate` judges videos.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronotope.errors import ChronotopeError
    from chronotope.generate.pipeline import Generation, Generator
    from chronotope.prompt import Prompt, read_prompts
    from chronotope.request import Inputs, Request
    from chronotope.serve.client import Client
    from chronotope.simulate.env import make_env, make_vector_env

__version__ = "0.1.0"
PROGRAM = f"chronotope {__version__}"  # what files say that they were made with
__all__ = [
    "ChronotopeError",
    "Client",
    "Generation",
    "Generator",
    "Inputs",
    "Prompt",
    "Request",
    "make_env",
    "make_vector_env",
    "read_prompts",
]

# Imported on first use, so that `import chronotope` does not load torch.
_HOMES = {
    "ChronotopeError": "errors",
    "Client": "serve.client",
    "Generation": "generate.pipeline",
    "Generator": "generate.pipeline",
    "Inputs": "request",
    "Prompt": "prompt",
    "Request": "request",
    "make_env": "simulate.env",
    "make_vector_env": "simulate.env",
    "read_prompts": "prompt",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'chronotope' has no attribute '{name}'")
    return getattr(import_module(f"chronotope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
