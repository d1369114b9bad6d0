"""The map of places and the time bar: where and when each specimen was found, as binaries for the browser."""
