"""Tables, figures and the report page: frames in, tables, figures and HTML out; no file is read."""
