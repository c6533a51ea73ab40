"""Evaluation: what a checkpoint shows, measured on scenes and noise that no training run has seen.

`python -m edgecore_aiprod.evaluate` is the command; here are its parts, one question a module.
"""
