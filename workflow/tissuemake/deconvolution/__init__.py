"""Cell types per spot: one file per method, one signature for all."""
