"""What a run is: its parameters, its identity, what it claims, the commands that make it."""
