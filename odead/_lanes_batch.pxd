"""Solves of one problem for many initial values and parameters, as many side by side as there are lanes."""

from ._batch cimport Batch, Runner
from ._lanes cimport Lanes
from ._lanes_adjoint cimport LanesAdjoint
from ._system cimport Outcome


cdef class LanesBatch(Runner):
    cdef readonly Batch batch
    cdef Lanes lanes
    cdef LanesAdjoint adjoint           # or None

    cdef Outcome _solve_all(self) noexcept nogil
