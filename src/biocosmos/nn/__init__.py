"""Losses and heads as plain torch modules: no data, no files, nothing of biocosmos but its errors."""
