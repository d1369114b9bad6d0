"""Names by place and time: a prior over an answer, and geofences and checklists after it."""
