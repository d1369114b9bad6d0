"""Zero-shot training: one prototype for each taxon, also for those without an image."""
