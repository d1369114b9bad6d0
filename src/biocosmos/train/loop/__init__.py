"""The one training loop: steps, checkpoints, logs, processes, settings."""
