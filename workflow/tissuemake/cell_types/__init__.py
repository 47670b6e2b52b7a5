"""Cell types of single cells and bins, by the labels of an atlas: one for each and how sure, or unknown."""
