"""Where networks lie: how their files are called in a run's directory or a model's folder, and which are shipped."""

from __future__ import annotations

from pathlib import Path

MODEL_FILE = "model.safetensors"  # the newest weights
BEST_FILE = "best.safetensors"  # of a run that scores its network on the way: the weights that scored best
SHIPPED_MODELS = Path(__file__).resolve().parent.parent / "models"


def find_model(path: str | Path) -> Path | None:
    """Return the model file at a path, or the best one in the folder there.

    Relative paths also start at the shipped models.
    """
    for base in (Path(), SHIPPED_MODELS.parent, SHIPPED_MODELS):
        candidate = base / path
        for file in (candidate, candidate / BEST_FILE, candidate / MODEL_FILE):
            if file.is_file():
                return file
    return None
