"""`kedro reproduce`: every table and figure of the paper's results by one command."""
