"""What a machine can hold of the way this code is written."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.architecture.layers import BOUNDARIES
from tests.architecture.source_tree import ROOT, Function, Module, functions, modules, python_files

FILE_LINES = 600
FUNCTION_LINES = 60
COMPLEXITY = 15
BROAD = {"Exception", "BaseException"}
LOG_CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def test_files_are_short() -> None:
    lengths = {module.place: len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules().values()}
    assert {place: lines for place, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_are_short_and_simple() -> None:
    wrong = []
    for module in modules().values():
        for name, function in functions(module):
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            if lines > FUNCTION_LINES:
                wrong.append(f"{module.place}:{function.lineno}: {name} has {lines} lines")
            if complexity(function) > COMPLEXITY:
                wrong.append(f"{module.place}:{function.lineno}: {name} has a complexity of {complexity(function)}")
    assert wrong == []


def test_exceptions_of_any_kind_are_kept_at_the_named_boundaries_alone() -> None:
    found = {f"{module.place}:{name}" for module in modules().values() for name in keepers(module)}
    assert found == BOUNDARIES
    assert len(BOUNDARIES) <= 10


def test_nothing_is_looked_up_by_a_name_that_is_made_up_at_runtime() -> None:
    wrong = [
        f"{module.place}:{node.lineno}: {node.id}"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Name) and node.id in ("hasattr", "getattr", "setattr", "delattr", "eval", "exec")
    ]
    assert wrong == []


def test_log_calls_leave_the_formatting_to_logging() -> None:
    wrong = [
        f"{module.place}:{call.lineno}: a text that is formatted whether or not it is logged"
        for module in modules().values()
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call) and is_log_call(call) and any(is_formatted(argument) for argument in call.args)
    ]
    assert wrong == []


def test_folders_hold_a_docstring_and_nothing_else() -> None:
    folders = [module for module in modules().values() if module.path.name == "__init__.py" and module.name != "cortexnet"]
    assert [each.place for each in folders if not ast.get_docstring(each.tree) or len(each.tree.body) > 1] == []


def test_what_is_public_says_what_it_is_for() -> None:
    wrong = [f"{module.place}:{line}: {name}" for module in modules().values() for name, line in undocumented(module)]
    assert wrong == []


def test_nobody_leaves_work_for_later() -> None:
    wrong = [
        f"{module.place}: {word}"
        for module in modules().values()
        for word in ("TODO", "FIXME", "XXX", "raise NotImplementedError")
        if word in module.path.read_text(encoding="utf-8")
    ]
    assert wrong == []


def test_tests_and_examples_do_not_sleep() -> None:
    """Waiting for time to pass is allowed where it does not: in virtual time."""
    sources = {path: path.read_text(encoding="utf-8") for path in python_files("tests", "examples")}
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, text in sources.items()
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and is_sleep(call) and not (is_of_asyncio(call) and is_in_virtual_time(path, text))
    ]
    assert wrong == []


def complexity(function: ast.AST) -> int:
    """McCabe's number: one more than the places where the way through a function forks; functions within it count too."""
    forks = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case, ast.comprehension)
    return 1 + sum(isinstance(node, forks) for node in ast.walk(function))


def keepers(module: Module) -> Iterator[str]:
    """Functions that catch everything and do not raise it again."""
    for name, function in functions(module):
        for node in own_nodes(function):
            if isinstance(node, ast.ExceptHandler):
                keeps = is_broad(node.type) and not is_raised_again(node)
            else:
                keeps = isinstance(node, ast.Call) and callee(node) == "suppress" and any(map(is_broad, node.args))
            if keeps:
                yield name


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions within it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, Function):
            yield child
            yield from own_nodes(child)


def is_broad(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(is_broad(each) for each in kind.elts)
    return kind is None or (isinstance(kind, ast.Name) and kind.id in BROAD)


def is_raised_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def callee(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def is_log_call(call: ast.Call) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in LOG_CALLS:
        return False
    return isinstance(function.value, ast.Name) and function.value.id in ("log", "logger", "logging")


def is_formatted(argument: ast.expr) -> bool:
    is_percent = isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Mod)
    return is_percent or isinstance(argument, ast.JoinedStr) or (isinstance(argument, ast.Call) and callee(argument) == "format")


def undocumented(module: Module) -> Iterator[tuple[str, int]]:
    """The module itself, its public classes, and what other folders import of it, methods too, where it has no docstring.

    A method that an interface promises has its contract there.
    """
    if not ast.get_docstring(module.tree):
        yield "the module", 1
    wanted = {name for place, name in imported_elsewhere() if place == module.name}
    for node in module.tree.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if (isinstance(node, ast.ClassDef) or node.name in wanted) and not ast.get_docstring(node):
            yield node.name, node.lineno
        if isinstance(node, ast.ClassDef) and node.name in wanted and not is_of_a_library(node):
            yield from undocumented_methods(node)


def undocumented_methods(owner: ast.ClassDef) -> Iterator[tuple[str, int]]:
    for node in owner.body:
        if not isinstance(node, Function) or node.name.startswith("_") or node.name in promised():
            continue
        if not ast.get_docstring(node):
            yield f"{owner.name}.{node.name}", node.lineno


@cache
def promised() -> set[str]:
    """The methods of all interfaces."""
    return {
        node.name
        for module in modules().values()
        for owner in ast.walk(module.tree)
        if isinstance(owner, ast.ClassDef) and any(ast.unparse(base).partition("[")[0] == "Protocol" for base in owner.bases)
        for node in owner.body
        if isinstance(node, Function) and ast.get_docstring(node)
    }


@cache
def imported_elsewhere() -> set[tuple[str, str]]:
    """The names of modules that are used outside of their folders, by ours or by users: (module, name)."""
    return {
        (node.module, alias.name)
        for other in modules().values()
        for node in ast.walk(other.tree)
        if isinstance(node, ast.ImportFrom) and node.module in modules()
        if other.folder != modules()[node.module].folder or other.name == "cortexnet"
        for alias in node.names
    }


def is_of_a_library(node: ast.ClassDef) -> bool:
    """Whether its methods may be those of a class that is not ours, such as asyncio.BufferedProtocol."""
    return any(isinstance(base, ast.Attribute) for base in node.bases)


def is_sleep(call: ast.Call) -> bool:
    if callee(call) != "sleep" or not call.args:
        return False
    first = call.args[0]
    return not (isinstance(first, ast.Constant) and first.value == 0)


def is_of_asyncio(call: ast.Call) -> bool:
    return ast.unparse(call.func) == "asyncio.sleep"


def is_in_virtual_time(path: Path, text: str) -> bool:
    conftests = [folder / "conftest.py" for folder in path.parents if ROOT in folder.parents]
    texts = [text, *(each.read_text(encoding="utf-8") for each in conftests if each.exists())]
    return any("cortexnet.testing.loop" in each for each in texts)
