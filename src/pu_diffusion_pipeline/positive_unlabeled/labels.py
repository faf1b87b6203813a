"""The training sets and the labels of their images in a batch."""

UNLABELED = 0
LABELED_SENSITIVE = 1
LABELED_NORMAL = 2
SETS = ("unlabeled", "labeled_sensitive", "labeled_normal")  # U, S, N, each at its label's place
