"""What clusters were found: sizes, pictures, which are near each other, and beside them the taxa they hold."""
