"""quadflow: a transformer in which pathways and H&E patches attend to each other in four flows."""
