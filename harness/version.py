"""The version of this package, in a place of its own: records, reports and the command line state it."""

__version__ = "0.1.0"
