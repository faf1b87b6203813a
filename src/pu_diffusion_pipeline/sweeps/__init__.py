"""`kedro sweep`: many runs at once, each a process of its own; what they share is made once."""
