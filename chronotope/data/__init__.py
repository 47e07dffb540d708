"""Datasets: folders of captioned clips -> pixel batches for the autoencoder, and latents for the transformer."""
