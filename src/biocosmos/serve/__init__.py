"""The web application over one collection, and its API. No science: it calls jobs and the rooms below."""
