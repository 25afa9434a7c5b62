"""Readers, clips and augmentation. `registry.load_videos` and `registry.load_stills` are the way in."""
