"""From a venue's frame to both orders at the venues: the parts of ``benchmarks.wire_to_wire``."""
