"""Pictures in sequence: frames with time, boxes and tracks."""
