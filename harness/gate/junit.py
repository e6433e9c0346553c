"""The outcome of a gate as JUnit XML: a test suite a board, a test case for each thing that was judged."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from harness.gate.compare import Comparison, Finding

# What XML 1.0 cannot hold, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(comparisons: Sequence[Comparison]) -> bytes:
    """Return JUnit XML; a regression is a failure, too little data an error, what is new is skipped."""
    root = ET.Element("testsuites", name="harness gate")
    totals = [0, 0, 0, 0]
    for board in dict.fromkeys(item.board for item in comparisons):
        suite = ET.SubElement(root, "testsuite", name=_text(board))
        counts = [0, 0, 0, 0]
        for item in comparisons:
            if item.board != board:
                continue
            cases = item.findings or (Finding("comparison", "pass", "; ".join(item.notes)),)
            for finding in cases:
                kind = _case(suite, item, finding)
                counts = [counts[0] + 1, *(n + (i == kind) for i, n in enumerate(counts[1:], 1))]
        _count(suite, counts)
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
    _count(root, totals)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _count(element: ET.Element, counts: Sequence[int]) -> None:
    for name, number in zip(("tests", "failures", "errors", "skipped"), counts, strict=True):
        element.set(name, str(number))
    element.set("time", "0")


def _case(suite: ET.Element, item: Comparison, finding: Finding) -> int:
    """Add one test case; return which count it adds to: 0 none, 1 failures, 2 errors, 3 skipped."""
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_text(f"{item.board}.{item.called}.{item.precision}"),
        name=_text(finding.about),
        time="0",
    )
    text = _text(finding.text)
    if finding.outcome == "fail":
        ET.SubElement(case, "failure", message=text, type=finding.about).text = text
        return 1
    if finding.outcome == "not enough data":
        ET.SubElement(case, "error", message=text, type="not enough data").text = text
        return 2
    if item.baseline is None or item.candidate is None:
        ET.SubElement(case, "skipped", message=text)
        return 3
    ET.SubElement(case, "system-out").text = text
    return 0


def _text(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
