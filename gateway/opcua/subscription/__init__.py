"""What a server sends: subscriptions, their sequence, their transfer, back-fill, and polling; all as batches."""
