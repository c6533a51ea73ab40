"""Sizes pools of GPU nodes from their queue and a forecast."""
