"""Chronotope: from raw video to generated video; the tree is the pipeline.

raw video -> worlds, data (captioned clips -> latents) -> models (autoencoder, patches, transformer)
<- flow (noise, velocity) -> generate (canvas, sampler) -> pixels; then evaluate.
"""

__version__ = "0.1.0"
