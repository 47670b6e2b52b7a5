"""SAGE-FM: a graph network that predicts hidden genes of a spot from its own others and its neighbours."""
