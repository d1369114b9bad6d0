"""The contact sheet of what to label next."""

from biocosmos.evaluate.discovery.queues.report import report_on

__all__ = ["report_on"]
