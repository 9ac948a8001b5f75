"""Codecs: one file for each kind of requests, and `choose.py`, which knows them all."""
