"""Findings as JUnit XML: a test case for each, failed by an error."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tritonsmith.generator.checks.report import Report
from tritonsmith.generator.findings import Finding, Severity

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> str:
    """Return one suite; where nothing is found, a case that passed."""
    suite = ElementTree.Element("testsuite", name="tritonsmith check")
    for finding in report.told:
        _add(suite, finding)
    if not report.told:
        ElementTree.SubElement(suite, "testcase", classname="check", name="nothing found")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(sum(one.severity is Severity.ERROR for one in report.told)))
    suite.set("errors", "0")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=False)


def _add(suite: ElementTree.Element, finding: Finding) -> None:
    name = " ".join(part for part in (finding.code, str(finding.place)) if part)
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(finding.model or "check"), name=_clean(name))
    if finding.severity is Severity.ERROR:
        part = ElementTree.SubElement(case, "failure", message=_clean(finding.message), type=finding.code or "error")
    else:
        part = ElementTree.SubElement(case, "system-out")
    part.text = _clean(str(finding))


def _clean(text: str) -> str:
    """Return text without the characters that XML cannot hold."""
    return _NOT_XML.sub("?", text)
