"""`medgenesis crossval`: what the protocol is asked for."""

import pytest

from medgenesis import bundles
from medgenesis.cli import main
from medgenesis.storage.run_record import starts
from medgenesis.weights.experiments import FOLDER


@pytest.mark.parametrize("given, found", [([], "pretrained.pt"), (["--set", "settings_from=scratch"], "scratch")])
def test_a_start_from_scratch_takes_the_settings_of_the_pre_training(tmp_path, monkeypatch, given, found):
    bundle = bundles.copy("transvw_ct", tmp_path / "my")
    (bundle / "models").mkdir(exist_ok=True)
    (bundle / "models" / "pretrained.pt").write_bytes(b"weights")
    asked = []
    monkeypatch.setattr("medgenesis.transfer.cross_validate", lambda *args, **named: asked.append(named) or "")
    arguments = ["crossval", "--bundle", str(bundle), "--datalist", "l.json", "--out", str(tmp_path / "o"), *given]
    main([*arguments, "--init", "scratch"])
    assert asked[0]["overrides"]["settings_from"].endswith(found)
    last = starts(tmp_path / "o")[-1]
    assert last["versions"]["monai"] and last["machine"]["cores"] and last["config"]["asked"]["folds"] == 5
    runs = last["config"]["configuration of the runs"]
    assert runs["settings_from"].endswith(found) and runs["intensity"] == "ct"  # that of settings.yaml
    main(arguments)
    assert ("settings_from" in asked[1]["overrides"]) == bool(given)


@pytest.mark.parametrize("command, option", [("crossval", "--init"), ("compare", "--pretrained")])
def test_weights_by_name_and_the_nearest_of_a_mistyped_name(tmp_path, monkeypatch, capsys, command, option):
    bundle, name = bundles.copy("models_genesis_ct", tmp_path / "my"), "experiment-hippocampus-mr-models-genesis"
    asked = []
    monkeypatch.setattr("medgenesis.transfer.cross_validate", lambda *args, init, **named: asked.append(init) or "")
    monkeypatch.setattr("medgenesis.transfer.compare_few_labels", lambda *args, **_: asked.append(args[2]) or "")
    arguments = [command, "--bundle", str(bundle), "--datalist", "l.json", "--out", str(tmp_path / "o")]
    assert main([*arguments, option, name]) == 0
    start = asked[0] if command == "crossval" else asked[0]["pre-trained"]
    assert start == str(FOLDER / f"{name}.pt")
    assert main([*arguments, option, name[:-1]]) == 2 and len(asked) == 1
    assert f"{option}: must be a file" in (said := capsys.readouterr().err) and f"Nearest: {name}" in said
