"""Surveys out: what was found in each sample, as OBIS, GBIF, EcoTaxa and Camtrap DP take it."""
