"""Stages of one pre-training, one after the other in one command: each a run of the same bundle with other settings."""

import gc
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch.distributed
from monai.bundle import ConfigWorkflow

from medgenesis.errors import CheckpointError, say_cause_last
from medgenesis.storage.steps import Step, Steps

logger = logging.getLogger(__name__)


class StagedWorkflow(ConfigWorkflow):
    """MONAI's `ConfigWorkflow`, run once for each of the config's `stages`.

    ::

        stages: # in pretrain.yaml: a name and the settings that differ
          level_0: {level: 0}
          level_2: {level: 2}
        checks: [$…] # optional: what is evaluated with the settings of every stage that is left, before any is trained
        previous: null # the last.pt of the stage before, for `medgenesis.methods.initialise_from_stage`

        python -m monai.bundle run --workflow_name medgenesis.engines.StagedWorkflow --config_file pretrain.yaml …

    Before a stage the config is made anew with the stage's settings and, in place of what it says itself, `output_dir`
    (the run's folder + the stage's name) and, from the second stage on, `previous` (`last.pt` of the stage before).
    What goes over is the config's affair: the whole checkpoint (queue, key encoder, heads) or a part. Then
    `initialize` and `run` are those of the config; its `finalize` comes once, after the last stage.

    A stage that has ended well is noted in the `steps.json` of the run's folder, and is not run again; where its
    config differs by now, a warning names what. Typed again after a kill, the command goes on with the stage that was
    broken, which resumes as any run does.

    Args:
        settings: those of `ConfigWorkflow`: `config_file`, and what overrides the config.

    Notes:
        Processes that work together stay together from stage to stage, for they arrive there one by one, and a process
        group that each made anew could meet what is left of the one before. So `initialize` makes one only where
        `torch.distributed.is_initialized()` is False.

    Raises:
        ValueError: the config has no `stages` by name, or no `output_dir`; (when run) a stage is finished, but not the
            one before it.
        CheckpointError: a stage has ended without a `last.pt` for the next.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        stages = self.parser.get("stages")
        if not isinstance(stages, dict) or not stages or not all(isinstance(one, dict) for one in stages.values()):
            raise ValueError(
                f"stages: the config must have names with the settings that differ, such as level_0: {{level: 0}}; "
                f"found {stages!r}. Without stages run it by monai.bundle run alone."
            )
        if "output_dir" not in self.parser:
            raise ValueError(
                "output_dir: the config must have it, the folder of the run; found none. Add it to the config."
            )
        self.config = {id: value for id, value in self.parser.get().items() if id != "stages"}
        self.stages: dict[str, dict[str, Any]] = stages
        self._has_run = False

    def initialize(self) -> list:
        """Nothing yet: each stage is initialised by itself."""
        return []

    def finalize(self) -> list:
        """The config's own, if a stage was run."""
        return super().finalize() if self._has_run else []

    def run(self) -> list:
        """Run the stages that are not finished."""
        say_cause_last()
        self.check()
        steps = self._steps()
        folder = steps.folder
        _check_order(steps)
        # of the whole run, as each stage has a folder of its own; the last one's stay
        shared = {"models": self.parser.get_parsed_content("models")} if "models" in self.parser else {}
        previous: dict[str, str] = {}
        for name, settings in self.stages.items():
            own = {**settings, **shared, **previous, "output_dir": str(folder / name)}
            self.parser.set(deepcopy(self.config))
            self.parser.update(own)
            gc.collect()  # engines and handlers know each other: their memory and workers go now, not some time
            config = self._written()
            if steps.done(name, config):
                logger.info("stage %s: finished, %s", name, folder / name)
            else:
                self._run_stage(steps, name, config)
            previous = {"previous": str(folder / name / "last.pt")}
        return []

    def check(self) -> None:
        """Evaluate the config's `checks`, if it has some, with the settings of each stage that is not finished.

        Nothing is trained. A later stage's impossible setting is else known when those before it have been trained.
        """
        if "checks" not in self.config:
            return
        steps = self._steps()
        for settings in (self.stages[name] for name in self.stages if not steps.finished(name)):
            self.parser.set(deepcopy(self.config))
            self.parser.update(deepcopy(settings))
            self.parser.parse(reset=True)
            self.parser.get_parsed_content("checks")
        self.parser.set(deepcopy(self.config))

    def _steps(self) -> Steps:
        """The stages in the run's folder; the parser must hold the config as it is without them."""
        self.parser.parse(reset=True)
        folder = Path(self.parser.get_parsed_content("output_dir"))
        # a config holds more than its results follow from, its number of workers for example: finished stages are kept
        return Steps(folder, {name: Step((f"{name}/last.pt",)) for name in self.stages}, changed="keep")

    def _run_stage(self, steps: Steps, name: str, config: Mapping[str, Any]) -> None:
        last = steps.folder / name / "last.pt"
        logger.info("stage %s: %s", name, last.parent)
        super().initialize()
        leads = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        with steps.doing(name, config) if leads else nullcontext():
            super().run()
            if not last.is_file():
                raise CheckpointError(
                    f"{last}: must be there after stage {name}; found none. Add `Checkpoints` to its handlers."
                )
        self._has_run = True

    def _written(self) -> dict[str, Any]:
        """The config as it is, with the numbers of the bundle's settings.yaml, which it only refers to."""
        config = self.parser.get()
        return {**config, "settings": self.parser.get_parsed_content("settings")} if "settings" in config else config


def _check_order(steps: Steps) -> None:
    """Refuse stages that are finished though one before them is not."""
    names = list(steps.steps)
    first = next((i for i, name in enumerate(names) if not steps.finished(name)), len(names))
    stale = [str(steps.folder / name) for name in names[first:] if steps.finished(name)]
    if stale:
        raise ValueError(
            f"{stale[0]}: must stand on finished stages; found stage {names[first]} before it unfinished. Remove "
            f"{', '.join(stale)}, or choose another output_dir."
        )
