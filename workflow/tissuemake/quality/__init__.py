"""What comes in is judged before work is spent on it, then filtered."""
