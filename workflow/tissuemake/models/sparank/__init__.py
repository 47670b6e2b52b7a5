"""SpaRank: one pretrained model that deconvolves spots it has never seen."""
