"""Compare a candidate with a baseline, so that the verdict can be trusted: pass, regress, inconclusive."""
