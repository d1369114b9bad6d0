"""What a package looks like that adds to biocosmos: an encoder, a reader, a namer, a detector and a recipe."""

from pathlib import Path

FIRST_LOOK = Path(__file__).parent / "first_look.toml"
