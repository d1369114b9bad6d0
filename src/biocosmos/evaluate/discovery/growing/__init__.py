"""What naming a whole collection costs, by the way of working."""

from biocosmos.evaluate.discovery.growing.report import report_on

__all__ = ["report_on"]
