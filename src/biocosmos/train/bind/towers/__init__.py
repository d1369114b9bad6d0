"""What is trained of places, environments, satellite images and sounds, one file a kind."""
