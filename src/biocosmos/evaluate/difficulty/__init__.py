"""How hard nights and sites are to track: the tables and the page."""
