"""Positive-unlabeled learning: splits, the PU risk, the class prior."""
