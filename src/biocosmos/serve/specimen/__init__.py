"""One specimen: all that is known of it, what it may be, what it is like. Nothing is imported here: some of it takes seconds."""
