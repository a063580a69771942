"""`medgenesis crossval`: what the protocol is asked for."""

import pytest

from medgenesis import bundles
from medgenesis.cli import main
from medgenesis.storage.run_record import starts


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
