"""Diffusion models: denoiser, forward process, objectives, training, sampling."""
