"""Convert a published iBOT checkpoint to a model of ours."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.models.spafoundation.published import import_checkpoint
    from tissuemake.pins import refuse_changed

    checkpoint = Path(snakemake.input.checkpoint)
    refuse_changed("spafoundation", checkpoint, snakemake.config["models"]["spafoundation"])
    import_checkpoint(checkpoint, Path(snakemake.output.model[0]).parent)
