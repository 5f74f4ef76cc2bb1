"""Examination of an installation, and of an experiment from settings to bundle: `bins.doctor`."""
