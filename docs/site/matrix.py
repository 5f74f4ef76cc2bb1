"""Feature matrix of the models, for `docs/models.md`: python -m docs.site.matrix prints it."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any, get_args

from config.paths import REPOSITORY
from config.schema import Settings, TrainSettings
from models.registry import MODELS, Kind, Model, settings_class

_COLUMNS = (
    *("model", "precision", "GPUs", "EMA", "gradient checkpointing", "speakers", "controls", "streaming", "published"),
    "configs",
)


def matrix() -> str:
    """Return the table of every model of the registry and what it can do."""
    by_kind = sorted(MODELS.items(), key=lambda item: (get_args(Kind).index(item[1].kind), item[0]))
    rows = [_cells(name, model) for name, model in by_kind]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [_COLUMNS, ["---" for _ in _COLUMNS], *rows])


def _cells(name: str, model: Model) -> list[str]:
    sections = {key: field.annotation for key, field in settings_class(name).model_fields.items()}
    network, train = sections["model"], sections["train"]
    assert isinstance(train, type) and issubclass(train, TrainSettings)
    conditioning = _choices(network, "speaker_conditioning")
    sound = {"acoustic": "sentence by sentence", "vocoder": "any frames", "aligner": "no sound"}[model.kind]
    if "def decodes_in_windows" in _source(f"{model.package}.network"):
        sound = "within sentences"
    return [
        f"{name} ({model.kind})",
        ", ".join(get_args(train.model_fields["precision"].annotation)) if model.task else "not trained",
        "several" if model.task else "not trained",
        "yes" if "ema_decay" in train.model_fields else "no",
        "yes" if _has_checkpointed_blocks(f"{model.package}.network") else "no",
        ", ".join(conditioning) if conditioning else "any",
        ", ".join(sorted(model.controls)) or "none",
        sound,
        f"`{model.published_files}`" if model.published else "none",
        ", ".join(f"`{config.split('/')[-1].removesuffix('.json')}`" for config in (model.config, *model.sizes)),
    ]


def _choices(section: Any, name: str) -> tuple[str, ...]:
    assert issubclass(section, Settings)
    return get_args(section.model_fields[name].annotation) if name in section.model_fields else ()


def _source(module: str) -> str:
    return (REPOSITORY / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


@cache
def _has_checkpointed_blocks(module: str) -> bool:
    """Return whether a module of `models`, or one that it imports, has a block that can be computed again."""
    tree = ast.parse(_source(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "CheckpointedBlock" for base in node.bases):
            return True
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return any(_has_checkpointed_blocks(each) for each in imported if each.startswith("models.layers."))


if __name__ == "__main__":
    print(matrix())
