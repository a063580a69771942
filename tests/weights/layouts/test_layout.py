"""Each module of a published layout exports it."""

import importlib
import pkgutil

from medgenesis.weights import layouts


def test_every_layout_is_exported_and_known_once():
    names = {info.name for info in pkgutil.iter_modules(layouts.__path__)} - {"layout"}
    exported = [importlib.import_module(f"{layouts.__name__}.{name}").LAYOUT for name in sorted(names)]
    assert {id(layout) for layout in exported} == {id(layout) for layout in layouts.LAYOUTS}
    assert len({layout.name for layout in layouts.LAYOUTS}) == len(layouts.LAYOUTS) == len(names)
