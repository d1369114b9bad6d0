"""The benchmarks of the BIOSCAN papers, each from a download to a report in one call, to go on from where it was killed."""
