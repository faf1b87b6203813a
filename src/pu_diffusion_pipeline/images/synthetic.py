"""Small made-up images with two families of classes, so that tests can run everything fast."""

import numpy as np


def synthetic_digits(
    per_class: int, num_classes: int = 10, size: int = 28
) -> tuple[np.ndarray, np.ndarray]:
    """Bright bars on black: vertical for even classes, horizontal for odd ones.

    The class decides where the bar is.

    Returns:
        images (N, size, size) uint8 and classes (N,) int64, N = per_class * num_classes.
    """
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(num_classes), per_class)
    images = rng.integers(0, 30, (len(classes), size, size), dtype=np.uint8)
    for image, label in zip(images, classes, strict=True):
        start = 2 + 2 * int(label) + int(rng.integers(0, 3))
        bar = image[:, start : start + 4] if label % 2 == 0 else image[start : start + 4, :]
        bar[:] = rng.integers(190, 256)
    return images, classes
