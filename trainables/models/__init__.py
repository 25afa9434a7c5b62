"""The networks of a trial: anonymizers f_A, action classifiers f_T, privacy networks f_B, and their weights."""
