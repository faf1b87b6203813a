"""Training of a denoiser: batches, gradients, the loop and its observers, jobs."""
