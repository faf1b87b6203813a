"""`kedro results`: all finished runs as one tidy table, and two of them side by side."""
