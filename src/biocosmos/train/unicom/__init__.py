"""UNICOM: training by cluster discrimination."""
