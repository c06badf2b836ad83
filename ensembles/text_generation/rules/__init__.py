"""What makes no sense together, with this engine, or in this release: one function per rule, one file per subject.

Rules are numbered TL001, TL002, ...; a rule's docstring says why it holds. They see a `Case`: the settings, what was
read of the engines, the release, the parameters as they will be written.
"""

from tritonsmith.ensembles.text_generation.rules.registry import Case, Rule, all_rules, findings

__all__ = ["Case", "Rule", "all_rules", "findings"]
