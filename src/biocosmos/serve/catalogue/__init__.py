"""The resident index: specimens in memory as arrays, views over them, the tree and the facets of a view."""

from biocosmos.serve.catalogue.catalogue import Catalogue, Page
from biocosmos.serve.catalogue.facets import Bar, Dates, Facets, Values
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.taxa import Found
from biocosmos.serve.catalogue.tree import Branch
from biocosmos.serve.catalogue.view import SORTS, STATES, View

__all__ = [
    "SORTS",
    "STATES",
    "Bar",
    "Branch",
    "Catalogue",
    "Dates",
    "Facets",
    "Found",
    "Moment",
    "Page",
    "Values",
    "View",
]
