"""`--tracking mlflow`, as MONAI's runner makes it, of a training of every bundle."""

import json

import pytest

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle

NAMES = [name for name in bundles.names() if "pretrain" in find_bundle(name).tasks()]
XRAYS = {"backbone": "resnet18_w8", "size": 96, "queue_size": 16, "batch_size": 4, "slabs_per_image": 2}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_pretraining_is_recorded(name, copied, patterns, tmp_path):
    pytest.importorskip("mlflow", reason="the extra `tracking` is not installed")
    pytest.importorskip("sqlalchemy", reason="MLflow's local store needs SQLAlchemy")
    from mlflow import MlflowClient

    bundle = copied(name, tmp_path / "copy")
    if name.endswith("_cxr"):
        workflow = bundle.run("pretrain", "slabs", tracking="mlflow", **XRAYS)
    else:
        discovers = (bundle.root / "configs" / "mine.yaml").exists()
        own = {"patterns": str(patterns)} if discovers else {}
        own |= {"block_size": 8} if name == "masked_autoencoder_ct" else {}  # of cubes of 16 voxels
        workflow = bundle.run("pretrain", tracking="mlflow", **own)
    folder = bundle.root / "runs" / "pretrain"
    client = MlflowClient(f"sqlite:///{folder}/mlruns.db")
    (run,) = client.search_runs([client.get_experiment_by_name("monai_experiment").experiment_id])
    steps = client.get_metric_history(run.info.run_id, "train_loss")
    assert len(steps) == workflow.trainer.state.iteration
    assert run.data.metrics["loss"] > 0
    starts = json.loads((folder / "run.json").read_text())
    assert len(starts) == 1 and starts[0]["config"]["num_workers"] == 0 and starts[0]["versions"]["monai"]
    assert "What made this run" in (folder / "report.html").read_text()
