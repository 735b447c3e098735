"""Results as a table for the terminal, as Markdown, and as JUnit XML."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from interop.harness.cell import Result

WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def rows(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Header and body: a line for each scenario and stack, a column for each pair; a cell that was not planned is a dash."""
    pairs = list(dict.fromkeys(result.pair for result in results))
    cells = {(result.scenario, result.stack, result.pair): _cell(result) for result in results}
    lines = dict.fromkeys((result.scenario, result.stack) for result in _by_stack(results))
    body = [[scenario, stack, *(cells.get((scenario, stack, pair), "–") for pair in pairs)] for scenario, stack in lines]
    return ["scenario", "stack", *pairs], body


def _by_stack(results: Sequence[Result]) -> list[Result]:
    """Stable order: stacks as they first appear, so that the same stack of several pairs stays together."""
    order = {stack: number for number, stack in enumerate(dict.fromkeys(result.stack for result in results))}
    return sorted(results, key=lambda result: order[result.stack])


def _cell(result: Result) -> str:
    word = WORDS[result.outcome]
    return f"{word} {result.seconds:.1f} s{' (2nd try)' * result.is_unsteady}" if result.outcome == "passed" else word


def table(results: Sequence[Result]) -> str:
    """For the terminal."""
    header, body = rows(results)
    widths = [max(len(line[column]) for line in (header, *body)) for column in range(len(header))]
    ruled = [header, ["-" * width for width in widths], *body]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in ruled)


def summary(results: Iterable[Result]) -> str:
    """How many of each outcome, and how many passed only at the second try."""
    results = list(results)
    counts = Counter(result.outcome for result in results)
    unsteady = sum(result.is_unsteady for result in results)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
    return told + (f"; {unsteady} passed only at the second try" if unsteady else "")


def troubles(results: Iterable[Result]) -> list[str]:
    """A line for each cell that failed, then for each that passed only at the second try, with what it failed of."""
    results = list(results)
    lines = [f"FAILED: {_place(result)}: {result.detail}" for result in results if result.outcome == "failed"]
    return lines + [f"ok at the second try: {_place(result)}: {result.detail}" for result in results if result.is_unsteady]


def _place(result: Result) -> str:
    return ", ".join(text for text in (result.pair, result.scenario, result.stack) if text)


def markdown(results: Sequence[Result], peers: Mapping[str, str]) -> str:
    """A page with the peers and their versions, the table, and why each failed cell failed."""
    header, body = rows(results)
    lines = ["# Interoperability", "", summary(results) + ". A column reads dialer → listener.", ""]
    lines += [f"- **{name}**: {about}" for name, about in peers.items()] + [""]
    lines += [_markdown_row(header), _markdown_row(["---"] * len(header)), *map(_markdown_row, body), ""]
    lists = {
        "Failed": [result for result in results if result.outcome == "failed"],
        "Passed at the second try": [result for result in results if result.is_unsteady],
        "Skipped": [result for result in results if result.outcome == "skipped"],
    }
    for title, chosen in lists.items():
        reasons = dict.fromkeys(_reason_line(result) for result in chosen)
        if reasons:
            lines += [f"## {title}", "", *reasons, ""]
    return "\n".join(lines)


def _reason_line(result: Result) -> str:
    detail = " ".join(result.detail.split())
    if not result.stack:  # the whole pair: once is enough
        return f"- {result.pair}: {detail}"
    logs = "".join(f" [{path.suffixes[-2].strip('.')} log](logs/{path.name})" for path in result.logs)
    return f"- {result.pair}, {result.scenario} ({result.stack}): {detail}{logs}"


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def junit(results: Sequence[Result]) -> bytes:
    """JUnit XML: a suite for each pair, a case for each cell."""
    root = ElementTree.Element("testsuites", name="interop")
    for pair in dict.fromkeys(result.pair for result in results):
        chosen = [result for result in results if result.pair == pair]
        counts = Counter(result.outcome for result in chosen)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=pair,
            tests=str(len(chosen)),
            failures=str(counts["failed"]),
            errors="0",
            skipped=str(counts["skipped"]),
            time=f"{sum(result.seconds for result in chosen):.3f}",
        )
        for result in chosen:
            _case(suite, result)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _case(suite: ElementTree.Element, result: Result) -> None:
    name = f"{result.scenario} ({result.stack})" if result.stack else result.scenario
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"interop.{result.dialer}.{result.listener}", name=name, time=f"{result.seconds:.3f}"
    )
    if result.outcome == "passed":
        return
    logs = "".join(f"\n{path}" for path in result.logs)
    tag = "failure" if result.outcome == "failed" else "skipped"
    ElementTree.SubElement(case, tag, message=_printable(result.detail)).text = _printable(result.detail + logs)


def _printable(text: str) -> str:
    """XML knows no control characters; what a peer wrote may hold any."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)


def write(results: Sequence[Result], peers: Mapping[str, str], folder: Path) -> None:
    """results.md and junit.xml in the folder, beside the logs of failed cells."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(results, peers), encoding="utf-8")
    (folder / "junit.xml").write_bytes(junit(results))
