"""A pack: what one museum hands to another to name by, in one folder or zip that is read as data and checked byte by byte."""
