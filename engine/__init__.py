"""Shopbell: rules in YAML turn a shop's webhooks into messages, mails and calls."""

__version__ = "0.1.0"

__all__ = ["__version__"]
