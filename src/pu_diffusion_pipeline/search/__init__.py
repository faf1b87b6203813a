"""`kedro search`: each run is chosen by what the ones before have found (Optuna)."""
