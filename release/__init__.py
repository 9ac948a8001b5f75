"""Making a release: what is built, what it is made of, and when it is refused.  Standard library only."""
