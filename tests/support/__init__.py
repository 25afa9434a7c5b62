"""What the tests share. `ROOT` is the root of the repository, `SHARED` the real data that may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
