"""`kedro reproduce`: every table and figure of the paper's results, and the frontier."""
