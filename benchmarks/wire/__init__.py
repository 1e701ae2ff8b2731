"""The parts of ``benchmarks.wire_to_wire``: from a venue's frame to both orders at the venues."""
