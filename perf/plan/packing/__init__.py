"""Packing: several models on given GPUs, by memory, by time and by how late their answers may be."""

from tritonsmith.perf.plan.packing.core import Card, Fleet, Kind, Lying, Packing, Tenant
from tritonsmith.perf.plan.packing.pack import pack

__all__ = ["Card", "Fleet", "Kind", "Lying", "Packing", "Tenant", "pack"]
