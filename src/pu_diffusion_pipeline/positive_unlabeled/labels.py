"""The training sets and the labels of their images in a batch."""

UNLABELED, LABELED_SENSITIVE, LABELED_NORMAL = 0, 1, 2
SETS = ("unlabeled", "labeled_sensitive", "labeled_normal")  # U, S, N; a set's place is its images' label
