"""What a run is: its parameters, its method, its identity, the commands that make it."""
