"""Folds every topic's events into customers' figures and the dashboards' metrics."""
