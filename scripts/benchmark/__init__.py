"""Measures how fast Loket answers: `scripts/bench`."""
