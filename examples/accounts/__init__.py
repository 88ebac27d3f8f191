"""Accounts: a service in three functions, and the order service that they tell."""
