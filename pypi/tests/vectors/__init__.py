"""The shared test vectors, `tests/vectors/*.json`, each topic by the way in which a user would meet it.

They need the module built with the feature `test-exports`; without it nothing here is collected.
"""
