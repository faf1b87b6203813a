"""Thin Kedro pipelines, named by activities; they meet in the catalog and never import one another."""
