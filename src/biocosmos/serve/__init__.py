"""The web application over a collection, and its API. It calls jobs and the rooms below and holds no science."""
