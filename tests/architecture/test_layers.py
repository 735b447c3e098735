"""Cores in shells, and layers that point down: the shape of the package, held by its source."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.architecture.layers import LAYERS, SHELL_FOLDERS, SHELLS, TESTING, cores, is_shell, is_within, layer_of
from tests.architecture.source_tree import imports, modules, own_imports

IO = {
    *("asyncio", "concurrent", "logging", "multiprocessing", "selectors", "signal", "subprocess", "threading"),
    *("dns", "ifaddr", "select", "socket", "ssl"),
    *("os", "pathlib", "shutil", "sqlite3", "tempfile"),
    *("random", "secrets", "time"),
}
CLOCKS = {
    *("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "time", "time_ns"),
    *("now", "today", "utcnow"),  # of datetime: a core may reckon with dates that it is given
}


def test_every_module_that_is_called_a_shell_exists() -> None:
    assert SHELLS - set(modules()) == set()
    assert set(SHELL_FOLDERS) - set(modules()) == set()


def test_no_module_is_called_a_shell_that_could_be_a_core() -> None:
    assert {
        name
        for name in SHELLS
        if not {top(each) for each in imports(modules()[name], runtime=True)} & IO
        and not any(is_shell(each) for each in own_imports(modules()[name]))
    } == set()


def test_cores_do_no_io_and_import_no_shell() -> None:
    wrong = [
        f"{module.place}:{line}: a core imports {name}"
        for module in cores()
        for name, line in imports(module, runtime=True).items()
        if top(name) in IO or is_shell(name)
    ]
    assert wrong == []


def test_clocks_are_read_in_shells_alone() -> None:
    wrong = [
        f"{module.place}:{node.lineno}: a core reads a clock"
        for module in cores()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    ]
    assert wrong == []


def test_every_module_has_a_layer() -> None:
    """A new one is given its place in layers.py."""
    files = [name for name, module in modules().items() if module.path.name != "__init__.py"]
    assert [name for name in files if layer_of(name) is None and not is_within(name, TESTING)] == []


def test_every_name_in_the_table_of_layers_exists() -> None:
    assert {place for places in LAYERS for place in places} - set(modules()) == set()


def test_layers_point_down() -> None:
    wrong = []
    for name, module in modules().items():
        layer = layer_of(name)
        if layer is None:
            continue
        for other, line in own_imports(module).items():
            below = layer_of(other)
            if below is None or below < layer or (below == layer and is_near(name, other)):
                continue
            wrong.append(f"{module.place}:{line}: layer {layer} imports {other} of layer {below}")
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({name: own_imports(module) for name, module in modules().items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """A room is a folder of the package, or a module beside them."""
    graph: dict[str, set[str]] = {}
    for name, module in modules().items():
        if not is_within(name, TESTING):
            others = {room(other) for other in own_imports(module)}
            graph.setdefault(room(name), set()).update(others - {room(name), ""})
    del graph[""]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_nothing_imports_the_tools_for_tests() -> None:
    wrong = [
        f"{module.place}:{line}"
        for name, module in modules().items()
        if not is_within(name, TESTING)
        for other, line in imports(module, runtime=False).items()
        if is_within(other, TESTING)
    ]
    assert wrong == []


def top(name: str) -> str:
    return name.partition(".")[0]


def room(name: str) -> str:
    return "".join(name.split(".")[1:2])


def is_near(name: str, other: str) -> bool:
    """Whether two modules are in one folder, or in folders of one folder of the package."""
    mine, others = name.split(".")[1:-1], other.split(".")[1:-1]
    return mine[:1] == others[:1]
