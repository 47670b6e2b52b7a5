"""Pretrained models: one room each; beside them the training loop and the store of weights they share."""
