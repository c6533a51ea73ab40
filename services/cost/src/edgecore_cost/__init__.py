"""Owns prices, reservations, the ledger and the cost predictor."""
