"""What is likely to live somewhere: shares of taxa at a place, in a season, at a depth, before anybody looks at a picture."""

from biocosmos.identify.priors.combining import combined
from biocosmos.identify.priors.prior import Prior, load_prior
from biocosmos.places.kernel import Bandwidths, KernelPrior

__all__ = ["Bandwidths", "KernelPrior", "Prior", "combined", "load_prior"]
