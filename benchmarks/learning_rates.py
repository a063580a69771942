"""Which optimizer, learning rate and warm-up the bundle's pre-training takes: the same short run with each.

    python benchmarks/learning_rates.py [--epochs 16] [--subjects 10]

Prints a Markdown table for the bundle's docs: the validation loss after training, or why the run was stopped.
"""

import argparse
import tempfile
from pathlib import Path

from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.errors import TrainingError

SGD = {"optimizer#_target_": "torch.optim.SGD", "optimizer#momentum": 0.9}
RUNS = [
    ("SGD, as published", SGD, 1.0, 0),
    ("SGD", SGD, 0.1, 0),
    ("Adam", {}, 0.001, 0),
    ("Adam", {}, 0.001, 50),
    ("Adam", {}, 0.01, 50),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--clip", type=float, default=None, help="clip the gradient's norm")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        datalist = write_phantoms(Path(folder, "data"), args.subjects, seed=0, shape=(96, 96, 96))
        print("| optimizer | learning rate | warm-up | validation loss |\n|---|---|---|---|", flush=True)
        for number, (name, settings, rate, warmup) in enumerate(RUNS):
            result = train(Path(folder, str(number)), datalist, args, rate, warmup, settings)
            print(f"| {name} | {rate:g} | {warmup} | {result} |", flush=True)


def train(folder: Path, datalist: Path, args: argparse.Namespace, rate: float, warmup: int, settings: dict) -> str:
    configs = bundles.path("models_genesis_ct") / "configs"
    workflow = ConfigWorkflow(
        [str(configs / "pretrain.yaml"), str(configs / "quick.yaml")],
        workflow_type="train",
        logging_file=False,
        bundle_root=str(folder),
        datalist=str(datalist),
        spacing_mm=[6.0, 6.0, 9.0],
        learning_rate=rate,
        warmup_iterations=max(warmup, 1),
        pretrain_epochs=args.epochs,
        **{"train#trainer#clip_norm": args.clip, "run": ["$@train#trainer.run()"], **settings},
    )
    workflow.initialize()
    try:
        workflow.run()
    except TrainingError as error:
        return str(error).split(":")[0]
    state = workflow.evaluator.state
    return f"{state.best_metric:.5f} (epoch {state.best_metric_epoch} of {args.epochs})"


if __name__ == "__main__":
    main()
