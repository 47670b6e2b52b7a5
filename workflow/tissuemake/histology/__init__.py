"""H&E slides: one face for every slide format, tissue masks, tiles."""
