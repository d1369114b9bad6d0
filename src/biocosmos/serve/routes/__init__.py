"""One file a page, each with ``pages`` (HTML) and ``api`` (JSON under /api); whatever stands here is served."""
