"""The one place that states distconv's version."""

__version__ = "0.1.0"
