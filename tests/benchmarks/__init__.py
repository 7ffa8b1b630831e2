"""Measurements: `make bench`. Ratios within one run, each beside its budget; never part of the tests."""
