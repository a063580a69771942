"""Which model is shown: the latest that ended and was not worse, of these labels; and what trainings are judged by."""

import json
import subprocess
import sys

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.label_app.history import History
from medgenesis.label_app.labelled import Labelled, split_labelled
from medgenesis.label_app.settings import AppSettings
from medgenesis.storage.run_folder import release_folder
from medgenesis.weights import with_settings

SETTINGS = AppSettings("ours", "nowhere", ["lungs", "liver"])


def _trained(history, names=("lungs", "liver")):
    folder = history.begin()
    labels = {0: "background", **dict(enumerate(names, start=1))}
    torch.save(with_settings({"w": torch.zeros(1)}, {"label_names": labels}), folder / "model.pt")
    release_folder(folder)
    return folder


def test_the_latest_that_is_not_worse(tmp_path):
    history = History(tmp_path, SETTINGS)
    assert history.current() is None and history.trainings() == []
    first = _trained(history)
    assert history.current() == first / "model.pt"  # though it has no result: it was killed
    second = _trained(history)
    history.conclude(second, {"worse": False, "best_metric": 0.5})
    third = _trained(history)
    history.conclude(third, {"worse": True})
    _trained(history, ("lungs", "spleen"))
    release_folder(history.begin())  # killed before its first validation
    assert history.current() == second / "model.pt"
    assert [path.name for path in history.trainings()] == ["0001", "0002", "0003", "0004", "0005"]
    assert History(tmp_path, AppSettings("ours", "nowhere", ["lungs"])).current() is None


def test_a_training_that_runs_shows_nothing(tmp_path):
    history = History(tmp_path, SETTINGS)
    first, second = _trained(history), _trained(history)
    code = (
        f"from medgenesis.storage import hold_folder; hold_folder({str(second)!r}); print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as training:
        assert training.stdout.readline()
        assert history.current() == first / "model.pt"
        training.kill()
        training.wait()
    assert history.current() == second / "model.pt"


def test_a_training_that_was_stopped_hides_no_finished_one(tmp_path):
    history = History(tmp_path, SETTINGS)
    first = _trained(history)
    history.conclude(first, {"worse": False})
    _trained(history)  # killed: after one epoch perhaps
    assert history.current() == first / "model.pt"


def test_a_corrected_label_is_not_judged_by_as_if_it_were_new(tmp_path):
    """Saved anew last of all, but learnt from before: the study that no model knows is chosen."""
    history = History(tmp_path, SETTINGS)
    history.note(history.begin(), ["s0", "s1", "s2", "s3"])
    studies = [Labelled(f"s{n}", f"s{n}.nii", f"l{n}.nii", saved=n if n else 9) for n in range(5)]
    training, validation = split_labelled(studies, 0.2, tmp_path / "memory.json", history.learnt_from())
    assert [one.name for one in validation] == ["s4"] and len(training) == 4


def test_an_earlier_model_counts_until_there_is_another(tmp_path):
    history = History(tmp_path, AppSettings("ours", "nowhere", ["lungs", "liver"], model="earlier.pt"))
    assert history.current().name == "earlier.pt"
    assert _trained(history) / "model.pt" == history.current()


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=6), share=st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]))
def test_studies_that_were_judged_by_stay_so(tmp_path_factory, counts, share):
    memory = tmp_path_factory.mktemp("memory") / "validation.json"
    studies, before = [], set()
    for count in counts:
        studies += [Labelled(f"s{len(studies) + i}", "i", "l", len(studies) + i) for i in range(count)]
        training, validation = split_labelled(studies, share, memory)
        names = {one.name for one in validation}
        assert len(names) == int(len(studies) * share + 1e-9) and before <= names
        assert sorted(one.name for one in training + validation) == sorted(one.name for one in studies)
        assert training  # never all of them
        before = names


def test_the_order_of_the_labels_is_no_matter_and_others_are_named(tmp_path):
    history = History(tmp_path, SETTINGS)
    first = _trained(history, ("Liver", "lungs"))
    assert history.current() == first / "model.pt" and history.passed_over() == {}
    _trained(history, ("lungs", "liver", "spleen"))
    _trained(history, ())
    assert history.current() == first / "model.pt"
    assert history.passed_over() == {"0002": "lungs, liver, spleen", "0003": "what its file does not say"}


def test_labels_are_those_of_the_list_that_a_training_learnt_from(tmp_path):
    """No weights are loaded: these are none."""
    history = History(tmp_path, SETTINGS)
    for names in (["liver", "lungs"], ["lungs", "spleen"]):
        folder = history.begin()
        labels = {"0": "background", **{str(value): name for value, name in enumerate(names, start=1)}}
        (folder / "datalist.json").write_text(json.dumps({"labels": labels}))
        (folder / "model.pt").write_bytes(b"no weights")
        release_folder(folder)
    assert history.passed_over() == {"0002": "lungs, spleen"}
    assert history.current() == tmp_path / "trainings" / "0001" / "model.pt"


def test_of_a_damaged_list_the_model_says_its_labels(tmp_path):
    history = History(tmp_path, SETTINGS)
    for text in ("{", "[]", "{}", '{"labels": ["liver"]}', '{"labels": {"x": "liver"}}'):
        (_trained(history, ("spleen",)) / "datalist.json").write_text(text)
    assert set(history.passed_over().values()) == {"spleen"} and len(history.passed_over()) == 5
