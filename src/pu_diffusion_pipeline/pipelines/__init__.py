"""Thin Kedro pipelines, named by activities; they meet in the catalog, never in an import."""
