"""The problem in normal form, with its events, stops and loss, checked before anything runs."""
