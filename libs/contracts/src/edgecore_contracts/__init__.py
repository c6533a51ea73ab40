"""What passes between services, and the rules both sides of an edge must agree on.

Generated protobuf modules live in the `edgecore` namespace package beside this one.
"""
