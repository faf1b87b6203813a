"""Tables, figures and the report page: tidy frames in, tables, figures and HTML out; no files are read."""
