"""Train the autoencoder and the diffusion transformer; each training is one function to read from top to bottom."""
