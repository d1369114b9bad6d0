"""What ``biocosmos discover`` does, each one call from Python."""
