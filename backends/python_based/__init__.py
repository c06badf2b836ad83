"""Backends written in Python that stand in for C++ ones: `<backend-dir>/<name>/model.py` and its neighbours."""
