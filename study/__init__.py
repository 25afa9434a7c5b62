"""The study: it runs every trial of a search space and records each in MLflow.

Importing any of its modules sets the defaults that Ray and MLflow read from the environment when they are imported.
"""

from study.environment import set_defaults

set_defaults()
