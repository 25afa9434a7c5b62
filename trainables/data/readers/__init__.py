"""One module per data set; importing this package registers them all in `trainables.data.registry`.

Readers read labels and look up the size of every file listed: they decode nothing and import no torch.
"""

from trainables.data.readers import clips, folders, hmdb51, kinetics, pa_hmdb51, ucf101, vispr, vp

__all__ = ["clips", "folders", "hmdb51", "kinetics", "pa_hmdb51", "ucf101", "vispr", "vp"]
