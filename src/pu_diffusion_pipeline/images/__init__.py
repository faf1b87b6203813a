"""Source images: reading, sizing, the sets that training and evaluation use."""
