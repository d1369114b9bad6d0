"""How hard nights are to track: settings, and the job behind ``biocosmos sequences difficulty``."""
