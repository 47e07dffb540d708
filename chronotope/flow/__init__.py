"""The mathematics of diffusion: paths between data and noise, timesteps, guidance and solvers. Imports no model."""
