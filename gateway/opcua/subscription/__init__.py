"""The values of a server: subscriptions, their sequence, transfer, back-fill, and polling; all as batches."""
