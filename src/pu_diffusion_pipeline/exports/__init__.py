"""Carry a finished model away: a diffusers folder with its card, the hub, images drawn from it."""
