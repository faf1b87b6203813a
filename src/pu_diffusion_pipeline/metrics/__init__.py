"""Evaluation: the judge, the non-sensitive rate, distances between images."""
