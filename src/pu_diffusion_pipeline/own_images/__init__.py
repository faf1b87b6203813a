"""`kedro add-images`: a benchmark of a user's own folder."""
