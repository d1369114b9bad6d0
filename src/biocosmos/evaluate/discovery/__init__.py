"""Pages of what was discovered: a folder a topic, report.py the numbers, page.py the picture."""
