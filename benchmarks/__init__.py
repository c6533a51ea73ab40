"""Benchmarks: each is a command that measures both sides of its ratio in one run. `make bench` lists them."""
