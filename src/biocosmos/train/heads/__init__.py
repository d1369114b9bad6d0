"""Training of heads that name specimens at every rank."""
