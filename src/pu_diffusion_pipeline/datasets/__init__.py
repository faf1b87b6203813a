"""Kedro data sets: reading and writing only, each write atomic."""
