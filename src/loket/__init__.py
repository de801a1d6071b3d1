"""Loket runs a municipality's service blueprints as one GraphQL API."""
