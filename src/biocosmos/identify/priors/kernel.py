"""The kernel prior, which stands with the places: encoders of places use it too."""

from biocosmos.places.kernel import KERNEL, Apart, Bandwidths, KernelPrior, kernel

__all__ = ["KERNEL", "Apart", "Bandwidths", "KernelPrior", "kernel"]
